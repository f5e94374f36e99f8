# bash completion for memfile-tool
_memfile_tool() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}
    local verbs="init import export put get list log info verify recover compact help version"
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$verbs --help --version" -- "$cur")
        return
    fi
    local options=""
    case $verb in
        init) options="--author --json" ;;
        import) options="--batch --threads --wait --author --json" ;;
        put) options="--id --kind --scope --key --title --tag --time --meta --link --pin --expires --source --actor --session --idempotency-key --data --media-type --wait --author --json" ;;
        get) options="--json --as-of" ;;
        list) options="--kind --scope --tag --key --since --until --limit --reverse --as-of --all --json" ;;
        log) options="--limit --json" ;;
        info|version) options="--json" ;;
        verify) options="--quick --threads --json" ;;
        recover) options="--threads --json" ;;
        compact) options="--output --level --threads --wait --json" ;;
        help) mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur"); return ;;
    esac
    if [ "$prev" = --kind ]; then
        mapfile -t COMPREPLY < <(compgen -W "note message event fact preference identity instruction constraint decision approval task action summary document entity relation checkpoint" -- "$cur")
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options --help" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -o filenames -F _memfile_tool memfile-tool
