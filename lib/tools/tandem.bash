# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of the tandem command for bash.

_tandem ()
{
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  local commands='inspect split help'

  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$cur")
    return
  fi
  case $prev in
    -l|--layers) return ;;
    -o|--output)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -d -- "$cur")
      return ;;
  esac
  case ${COMP_WORDS[1]} in
    help)
      mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
      return ;;
    inspect)
      if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$cur")
        return
      fi ;;
    split)
      if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '--layers --output --force --help' -- "$cur")
        return
      fi ;;
  esac
  compopt -o filenames
  mapfile -t COMPREPLY < <(compgen -d -- "$cur"; compgen -f -X '!*.safetensors' -- "$cur")
}

complete -F _tandem tandem
