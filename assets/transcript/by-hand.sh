set -eu

# Seconds to wait for anything before giving up.
LIMIT=${LIMIT:-600}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

get() { # NAMESPACE APPLICATION JSONPATH
  kubectl -n "$1" get applications.argoproj.io "$2" -o "jsonpath=$3"
}
await() { # WHAT COMMAND [ARGUMENT...]: until the command succeeds
  what=$1
  shift
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    if [ "$tries" -gt "$LIMIT" ]; then
      echo "gave up: $what" >&2
      exit 1
    fi
    sleep 1
  done
}
refreshed() {
  value=$(get "$1" "$2" '{.metadata.annotations.argocd\.argoproj\.io/refresh}') && [ -z "$value" ]
}
refresh() { # NAMESPACE APPLICATION
  kubectl -n "$1" annotate applications.argoproj.io "$2" argocd.argoproj.io/refresh=normal --overwrite >/dev/null
  await "Argo CD looks at $2 again" refreshed "$1" "$2"
}
idle() {
  value=$(get "$1" "$2" '{.operation}') && [ -z "$value" ]
}
ended() {
  idle "$1" "$2" && value=$(get "$1" "$2" '{.status.operationState.phase}') &&
    case $value in Succeeded | Failed | Error) true ;; *) false ;; esac
}
start_sync() { # NAMESPACE APPLICATION REVISION OPERATION: starts it, waits for its end, checks what it did
  await "no operation runs on $2" idle "$1" "$2"
  refresh "$1" "$2"
  # Argo CD would blend what is left of the last operation into this one.
  clear=
  phase=$(get "$1" "$2" '{.status.operationState.phase}')
  if [ -n "$phase" ]; then
    clear='{"op":"remove","path":"/status/operationState"},'
  fi
  kubectl -n "$1" patch applications.argoproj.io "$2" --type json \
    -p "[$clear{\"op\":\"add\",\"path\":\"/operation\",\"value\":$4}]"
  await "the sync of $2 ends" ended "$1" "$2"
  phase=$(get "$1" "$2" '{.status.operationState.phase}')
  revision=$(get "$1" "$2" '{.status.operationState.syncResult.revision}')
  if [ "$phase" != Succeeded ] || [ "$revision" != "$3" ]; then
    echo "the sync of $2 ended as $phase at $revision" >&2
    exit 1
  fi
}
healthy() {
  health=$(get "$1" "$2" '{.status.health.status}') &&
    compared=$(get "$1" "$2" '{.status.reconciledAt}') &&
    finished=$(get "$1" "$2" '{.status.operationState.finishedAt}') &&
    [ "$health" = Healthy ] && expr "x$compared" '>=' "x$finished" >/dev/null
}
gate() { # WHAT: a person looks, and goes on with enter
  printf 'gate %s\n' "$1"
  if [ -t 0 ]; then
    printf 'Look, and press enter when it is so; Ctrl-C stops here. '
    read -r _ || {
      echo 'stopped at the gate' >&2
      exit 1
    }
  elif [ "${GATES:-}" = unasked ]; then
    echo 'GATES=unasked: nobody was asked whether it is so, going on' >&2
  else
    echo 'standard input is no terminal, so that nobody can be asked: stopped at the gate. In a terminal it asks; GATES=unasked goes on past every gate' >&2
    exit 1
  fi
}
identity() { # FOLDER: commits need a name
  git -C "$1" config user.email >/dev/null || {
    git -C "$1" config user.name "$(id -un)"
    git -C "$1" config user.email "$(id -un)@$(uname -n)"
  }
}
