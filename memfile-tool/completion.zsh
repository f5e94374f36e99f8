#compdef memfile-tool
# zsh completion for memfile-tool
local -a verbs options kinds flags
local option= word=
integer files=1 place=1 value=0
verbs=(init:'make a new, empty memory' import:'add entries from JSON Lines' export:'print all entries'
  put:'add one entry' get:'print an entry' list:'list entries' log:'list commits' info:'what the file holds' receipt:'print a line that names the history'
  verify:'check every byte' prove:'prove that an entry is part of the history' verify-proof:'check a proof' recover:'write what is sound to a new file' compact:'write the file anew' rekey:'seal it for somebody else' keygen:'make a secret key' help:'say what a verb does' version:'print the version')
kinds=(note message event fact preference identity instruction constraint decision approval task action summary
  document entity relation checkpoint)
flags=(--json --pin --data --reverse --all --quick --sign --passphrase --new-passphrase --pad --compact --without-key --help -h)
if (( CURRENT == 2 )); then
  _describe verb verbs
  return
fi
case $words[2] in
  init) options=(--author --sign-with --sign-passphrase-file --json --passphrase --passphrase-file --passphrase-fd --recipient --pad --passes --memory) ;;
  import) options=(--batch --threads --wait --author --sign-with --sign-passphrase-file --json --passphrase --passphrase-file --passphrase-fd --identity) files=2 ;;
  export) options=(--json --passphrase --passphrase-file --passphrase-fd --identity) ;;
  put) options=(--id --kind --scope --key --title --tag --time --meta --link --pin --expires --source --actor --session --idempotency-key --data --media-type --wait --author --sign-with --sign-passphrase-file --json --passphrase --passphrase-file --passphrase-fd --identity) ;;
  get) options=(--json --as-of --passphrase --passphrase-file --passphrase-fd --identity) ;;
  list) options=(--kind --scope --tag --key --since --until --limit --reverse --as-of --all --json --passphrase --passphrase-file --passphrase-fd --identity) ;;
  log) options=(--limit --json --passphrase --passphrase-file --passphrase-fd --identity) ;;
  info) options=(--json --passphrase --passphrase-file --passphrase-fd --identity) ;;
  receipt) options=(--json --passphrase --passphrase-file --passphrase-fd --identity) ;;
  verify) options=(--quick --receipt --signer --signers --threads --json --passphrase --passphrase-file --passphrase-fd --identity --without-key) ;;
  prove) options=(--as-of --out --threads --passphrase --passphrase-file --passphrase-fd --identity) ;;
  verify-proof) options=(--receipt --signer --signers --json) ;;
  recover) options=(--threads --json --passphrase --passphrase-file --passphrase-fd --identity) files=2 ;;
  compact) options=(--output --level --threads --wait --json --passphrase --passphrase-file --passphrase-fd --identity) ;;
  rekey) options=(--passphrase --passphrase-file --passphrase-fd --identity --new-passphrase --new-passphrase-file --new-passphrase-fd --recipient --pad --passes --memory --compact --wait --json) ;;
  keygen) options=(--sign --passphrase --passphrase-file --passphrase-fd --json) ;;
  version) options=(--json) files=0 ;;
  help) _describe verb verbs; return ;;
esac
if [[ $PREFIX == --*=* ]]; then
  option=${PREFIX%%=*}
  compset -P 1 '*='
elif [[ $words[CURRENT-1] == --* && $words[CURRENT-1] != *=* && ${flags[(Ie)$words[CURRENT-1]]} -eq 0 ]]; then
  option=$words[CURRENT-1]
fi
case $option in
  --kind) compadd -- $kinds; return ;;
  --output|--out|--passphrase-file|--new-passphrase-file|--identity|--sign-with|--sign-passphrase-file|--signers) _files; return ;;
  ?*) return 1 ;; # values that only the user knows
esac
if [[ $PREFIX == -* ]]; then
  compadd -- $options --help
  return
fi
# files only where a file is meant: count the arguments that are no options
for word in ${words[3,CURRENT-1]}; do
  if (( value )); then
    value=0
  elif [[ $word != -?* ]]; then
    (( place += 1 ))
  elif [[ $word == --* && $word != *=* ]]; then
    value=$(( ${flags[(Ie)$word]} == 0 ))
  fi
done
(( place <= files )) && _files
