# SPDX-License-Identifier: LGPL-2.1-or-later
# Read by the pipelines beside it: their options, and where the elements are when Tandem was
# built here and not installed.

here=$(cd "$(dirname "$0")" && pwd)

model=${TANDEM_MODEL:-$here/models/tinybert-imdb}
format=${TANDEM_FORMAT:-text}
host=${TANDEM_HOST:-127.0.0.1}
port=${TANDEM_PORT:-10300}
insecure=false

while [ $# -gt 0 ]; do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --insecure)
      insecure=true
      shift
      ;;
    --model | --format | --host | --port)
      if [ $# -lt 2 ]; then
        echo "${0##*/}: $1 needs a value; see --help" >&2
        exit 2
      fi
      case $1 in
        --model) model=$2 ;;
        --format) format=$2 ;;
        --host) host=$2 ;;
        --port) port=$2 ;;
      esac
      shift 2
      ;;
    *)
      echo "${0##*/}: unknown argument $1; see --help" >&2
      exit 2
      ;;
  esac
done

if [ ! -e "$model" ]; then
  echo "${0##*/}: there is no model $model; name one with --model" >&2
  exit 1
fi

build=${TANDEM_BUILD_ROOT:-${here%/*}/build}
if [ -d "$build/gst" ]; then
  GST_PLUGIN_PATH=$build/gst${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
  GST_REGISTRY=${GST_REGISTRY:-$build/registry.bin}
  TANDEM_LOCALEDIR=${TANDEM_LOCALEDIR:-$build/po}
  export GST_PLUGIN_PATH GST_REGISTRY TANDEM_LOCALEDIR
fi
