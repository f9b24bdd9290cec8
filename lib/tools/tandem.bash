# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of the tandem command for bash.

_tandem ()
{
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  local commands='doctor fit inspect key merge node plan profile prune quantize run slim split train tune help'

  local train='
    --data --output --resume --force --from --init --config --vocab --labels
    --task --teacher --alpha --temperature --hidden --hidden-layers
    --sparsity --gradual --tensors --scope --with-unlabelled --exclude --holdout
    --epochs --batch --micro-batch --max-length --truncation-side --learning-rate --warmup
    --decay --weight-decay --max-norm --label-smoothing --dropout --seed --stages
    --schedule --half --patience --keep --evaluate-every --checkpoint-every --metrics --split
    --help'

  local tune='
    --model --algorithm --output --resume --data --exclude --holdout --table --class --ignore
    --folds --select-columns --from --space --set --weights --bound --objective --evaluations
    --time --target --population --rungs --window --workers --timeout --seed --test --split
    --baseline --help'

  local fit='
    --data --output --exclude --holdout --seed --ngrams --min-texts --weighting --loss --folds
    --cost     --help'

  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$cur")
    return
  fi
  # Its short options mean something else than those below.
  if [ "${COMP_WORDS[1]}" = node ]; then
    case $prev in
      -p|--port|-a|--address|-n|--name|-m|--memory|-t|--threads|-s|--cache-size) return ;;
      -k|--key)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return ;;
      -c|--cache)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W '--port --address --key --insecure --name --memory
      --threads --cache --cache-size --hidden --json --help' -- "$cur")
    return
  fi
  if [ "${COMP_WORDS[1]}" = doctor ]; then
    case $prev in
      -n|--nodes) return ;;
      -k|--key)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return ;;
    esac
    mapfile -t COMPREPLY < <(
      compgen -W '--nodes --key --insecure --no-measure --json --help' -- "$cur")
    return
  fi
  if [ "${COMP_WORDS[1]}" = run ]; then
    case $prev in
      -d|--data|-o|--output|-k|--key|-p|--placement)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return ;;
      -s|--split) mapfile -t COMPREPLY < <(compgen -W 'train test unsup' -- "$cur"); return ;;
      -f|--format) mapfile -t COMPREPLY < <(compgen -W 'text json csv' -- "$cur"); return ;;
      --formats) mapfile -t COMPREPLY < <(compgen -W 'f32 bf16 f16 q8' -- "$cur"); return ;;
      --objective)
        mapfile -t COMPREPLY < <(compgen -W 'throughput latency' -- "$cur")
        return ;;
      -n|--nodes|-b|--micro-batch|-t|--threads|-m|--memory|--timeout) return ;;
    esac
    if [[ $cur == -* ]]; then
      mapfile -t COMPREPLY < <(compgen -W '--data --split --format --output --nodes --key --insecure
        --placement --formats --objective --micro-batch --threads --memory --cache-size --no-local --timeout
        --json --help' -- "$cur")
    else
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
    return
  fi
  if [ "${COMP_WORDS[1]}" = plan ]; then
    case $prev in
      -d|--devices|-k|--key|-p|--placement|--svg)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return ;;
      -o|--objective)
        mapfile -t COMPREPLY < <(compgen -W 'throughput latency' -- "$cur")
        return ;;
      --formats) mapfile -t COMPREPLY < <(compgen -W 'f32 bf16 f16 q8' -- "$cur"); return ;;
      -b|--micro-batch|-l|--length|-t|--threads) return ;;
    esac
  fi
  if [ "${COMP_WORDS[1]}" = quantize ]; then
    case $prev in
      -w|--weights) mapfile -t COMPREPLY < <(compgen -W 'int8 bf16 f16' -- "$cur"); return ;;
      -a|--activations) mapfile -t COMPREPLY < <(compgen -W 'int8 float' -- "$cur"); return ;;
      --max-loss) return ;;
    esac
  fi
  if [ "${COMP_WORDS[1]}" = tune ]; then
    case $prev in
      -m|--model) mapfile -t COMPREPLY < <(compgen -W 'ann cnn svm bert' -- "$cur"); return ;;
      -a|--algorithm)
        mapfile -t COMPREPLY < <(compgen -W 'random ga pso dwpso bat cuckoo pso-cs pso-ga
          pso-adam' -- "$cur")
        return ;;
      -O|--objective)
        mapfile -t COMPREPLY < <(compgen -W 'accuracy mse mse-cross-entropy bytes multiply-adds
          milliseconds' -- "$cur")
        return ;;
      -t|--table|-s|--space|--test)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return ;;
      -n|--evaluations|-k|--folds|-p|--population|-j|--workers|--set|--class|--ignore) return ;;
    esac
  fi
  case $prev in
    --scope) mapfile -t COMPREPLY < <(compgen -W 'tensor global' -- "$cur"); return ;;
    --tensors) mapfile -t COMPREPLY < <(compgen -W 'linear embeddings all' -- "$cur"); return ;;
    --svg)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return ;;
    --method)
      mapfile -t COMPREPLY < <(
        compgen -W 'magnitude heads neurons heads,neurons layers vocabulary' -- "$cur")
      return ;;
    --precision) mapfile -t COMPREPLY < <(compgen -W 'f32 bf16' -- "$cur"); return ;;
    -l|--layers|-n|--name|--days) return ;;
    --weighting) mapfile -t COMPREPLY < <(compgen -W 'binary tfidf nb' -- "$cur"); return ;;
    --loss) mapfile -t COMPREPLY < <(compgen -W 'logistic squared-hinge' -- "$cur"); return ;;
    -o|--output|-m|--from|--teacher)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -d -- "$cur")
      return ;;
    -d|--data|--config|--vocab|-x|--exclude|--metrics)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return ;;
    -t|--task) mapfile -t COMPREPLY < <(compgen -W 'classify distill masked-lm' -- "$cur"); return ;;
    --init) mapfile -t COMPREPLY < <(compgen -W 'model random project' -- "$cur"); return ;;
    --truncation-side) mapfile -t COMPREPLY < <(compgen -W 'model left right' -- "$cur"); return ;;
    --keep) mapfile -t COMPREPLY < <(compgen -W 'best last' -- "$cur"); return ;;
    --decay) mapfile -t COMPREPLY < <(compgen -W 'linear cosine' -- "$cur"); return ;;
    --schedule)
      mapfile -t COMPREPLY < <(compgen -W 'gpipe 1f1b-flush 1f1b' -- "$cur")
      return ;;
  esac
  if [ "${COMP_WORDS[1]}" = train ]; then
    mapfile -t COMPREPLY < <(compgen -W "$train" -- "$cur")
    return
  fi
  if [ "${COMP_WORDS[1]}" = tune ]; then
    mapfile -t COMPREPLY < <(compgen -W "$tune" -- "$cur")
    return
  fi
  if [ "${COMP_WORDS[1]}" = fit ]; then
    mapfile -t COMPREPLY < <(compgen -W "$fit" -- "$cur")
    return
  fi
  local plan='
    --devices --nodes --key --objective --placement --formats --micro-batch --length
    --precision --threads --svg --insecure --json --help'
  case ${COMP_WORDS[1]} in
    help)
      mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
      return ;;
    inspect)
      if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '--json --svg --help' -- "$cur")
        return
      fi ;;
    key)
      if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '--name --days --json --help' -- "$cur")
        return
      fi
      if [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W 'new show' -- "$cur")
        return
      fi
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return ;;
    merge)
      if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '--output --half --force --help' -- "$cur")
        return
      fi
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return ;;
    plan)
      if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$plan" -- "$cur")
        return
      fi ;;
    profile)
      if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(
          compgen -W '--threads --precision --seconds --again --json --help' -- "$cur")
        return
      fi ;;
    quantize)
      if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '--output --weights --activations --data --max-loss
          --force --json --help' -- "$cur")
        return
      fi ;;
    prune)
      if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(
          compgen -W '--output --method --sparsity --bytes --milliseconds --scope --tensors --data
            --epochs --gradual --half --force --resume --json --help' -- "$cur")
        return
      fi ;;
    slim)
      if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(
          compgen -W '--output --data --validation --test --fine-tune --tune --method --sparsity
            --tensors --epochs --gradual --weights --max-loss --split --force --resume --json
            --help' -- "$cur")
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
