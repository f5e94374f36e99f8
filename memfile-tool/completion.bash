# bash completion for memfile-tool
_memfile_tool() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} before=""
    local verbs="init import export put get list log info receipt verify prove verify-proof recover compact rekey keygen help version"
    local flags=" --json --pin --data --reverse --all --quick --sign --passphrase --new-passphrase --pad --compact --without-key --help -h " options="" files=1
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$verbs --help --version" -- "$cur")
        return
    fi
    case $verb in
        init) options="--author --sign-with --sign-passphrase-file --json --passphrase --passphrase-file --passphrase-fd --recipient --pad --passes --memory" ;;
        import) options="--batch --threads --wait --author --sign-with --sign-passphrase-file --json --passphrase --passphrase-file --passphrase-fd --identity" files=2 ;;
        export) options="--json --passphrase --passphrase-file --passphrase-fd --identity" ;;
        put) options="--id --kind --scope --key --title --tag --time --meta --link --pin --expires --source --actor --session --idempotency-key --data --media-type --wait --author --sign-with --sign-passphrase-file --json --passphrase --passphrase-file --passphrase-fd --identity" ;;
        get) options="--json --as-of --passphrase --passphrase-file --passphrase-fd --identity" ;;
        list) options="--kind --scope --tag --key --since --until --limit --reverse --as-of --all --json --passphrase --passphrase-file --passphrase-fd --identity" ;;
        log) options="--limit --json --passphrase --passphrase-file --passphrase-fd --identity" ;;
        info) options="--json --passphrase --passphrase-file --passphrase-fd --identity" ;;
        receipt) options="--json --passphrase --passphrase-file --passphrase-fd --identity" ;;
        verify) options="--quick --receipt --signer --signers --threads --json --passphrase --passphrase-file --passphrase-fd --identity --without-key" ;;
        prove) options="--as-of --out --threads --passphrase --passphrase-file --passphrase-fd --identity" ;;
        verify-proof) options="--receipt --signer --signers --json" ;;
        recover) options="--threads --json --passphrase --passphrase-file --passphrase-fd --identity" files=2 ;;
        compact) options="--output --level --threads --wait --json --passphrase --passphrase-file --passphrase-fd --identity" ;;
        rekey) options="--passphrase --passphrase-file --passphrase-fd --identity --new-passphrase --new-passphrase-file --new-passphrase-fd --recipient --pad --passes --memory --compact --wait --json" ;;
        keygen) options="--sign --passphrase --passphrase-file --passphrase-fd --json" ;;
        version) options="--json" files=0 ;;
        help) mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur"); return ;;
        *) return ;;
    esac
    # --name=value is one word, or three where = breaks words
    if [[ $cur == --*=* ]]; then
        prev=${cur%%=*} before="${cur%%=*}=" cur=${cur#*=}
    elif [ "$cur" = "=" ]; then
        cur=""
    elif [ "$prev" = "=" ]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    if [[ $prev == --* && $flags != *" $prev "* ]]; then
        case $prev in
            --kind) mapfile -t COMPREPLY < <(compgen -P "$before" -W "note message event fact preference identity instruction constraint decision approval task action summary document entity relation checkpoint" -- "$cur") ;;
            --output|--out|--passphrase-file|--new-passphrase-file|--identity|--sign-with|--sign-passphrase-file|--signers) _memfile_tool_files ;;
        esac
        return
    fi
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options --help" -- "$cur")
        return
    fi
    # files only where a file is meant: count the arguments that are no options
    local i place=1 value=""
    for ((i = 2; i < COMP_CWORD; i++)); do
        if [ "${COMP_WORDS[i]}" = "=" ]; then
            continue
        elif [ -n "$value" ]; then
            value=""
        elif [[ ${COMP_WORDS[i]} != -?* ]]; then
            place=$((place + 1))
        elif [[ ${COMP_WORDS[i]} == --*[!=] && ${COMP_WORDS[i]} != *=* && $flags != *" ${COMP_WORDS[i]} "* ]]; then
            value=1
        fi
    done
    if [ "$place" -le "$files" ]; then
        _memfile_tool_files
    fi
}
_memfile_tool_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -P "$before" -f -- "$cur")
}
complete -F _memfile_tool memfile-tool
