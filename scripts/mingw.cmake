# CMake's toolchain file for Windows on x86-64, with mingw-w64 and its POSIX threads; everything is
# linked in, so that a program is one file. MEMFILE_WINE, of the environment, runs the tests.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc-posix)
set(CMAKE_AR x86_64-w64-mingw32-gcc-ar-posix)
set(CMAKE_RANLIB x86_64-w64-mingw32-gcc-ranlib-posix)
set(CMAKE_C_FLAGS_INIT "-D__USE_MINGW_ANSI_STDIO=1")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static -fstack-protector-strong")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-static -fstack-protector-strong")
if(DEFINED ENV{MEMFILE_WINE})
  set(CMAKE_CROSSCOMPILING_EMULATOR $ENV{MEMFILE_WINE})
endif()
