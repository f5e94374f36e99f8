#compdef memfile-tool
# zsh completion for memfile-tool
local -a verbs options
verbs=(init:'make a new, empty memory' import:'add entries from JSON Lines' export:'print all entries'
  put:'add one entry' get:'print an entry' list:'list entries' log:'list commits' info:'what the file holds'
  verify:'check every byte' recover:'write what is sound to a new file' compact:'write the file anew' help:'say what a verb does' version:'print the version')
if (( CURRENT == 2 )); then
  _describe verb verbs
  return
fi
case $words[2] in
  init) options=(--author --json) ;;
  import) options=(--batch --threads --wait --author --json) ;;
  put) options=(--id --kind --scope --key --title --tag --time --meta --link --pin --expires --source --actor --session --idempotency-key --data --media-type --wait --author --json) ;;
  get) options=(--json --as-of) ;;
  list) options=(--kind --scope --tag --key --since --until --limit --reverse --as-of --all --json) ;;
  log) options=(--limit --json) ;;
  info|version) options=(--json) ;;
  verify) options=(--quick --threads --json) ;;
  recover) options=(--threads --json) ;;
  compact) options=(--output --level --threads --wait --json) ;;
  help) _describe verb verbs; return ;;
esac
if [[ $PREFIX == -* ]]; then
  compadd -- $options --help
else
  _files
fi
