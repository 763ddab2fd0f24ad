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
freeze() { # NAMESPACE APPLICATION PATCH NOTE: NOTE is the patch without what switches auto-sync off
  value=$(get "$1" "$2" '{.spec.syncPolicy.automated}')
  patch=$3
  if [ -z "$value" ]; then
    value=$(get "$1" "$2" '{.metadata.annotations.trueup\.dev/frozen}')
    if [ -n "$value" ]; then
      echo "$2 is frozen and has no automated policy: in the recovery it had one again by then, which is not done here; skipped"
      return 0
    fi
    echo "$2 has no automated policy: in the recovery it had one by then, which is not done here; only the note is put there"
    patch=$4
  fi
  kubectl -n "$1" patch applications.argoproj.io "$2" --type json -p "$patch"
}
thaw() { # NAMESPACE APPLICATION JSONPATH PATCH OTHERWISE: the patch is for an Application that has the field
  value=$(get "$1" "$2" "$3")
  patch=$4
  if [ -z "$value" ]; then
    patch=$5
  fi
  kubectl -n "$1" patch applications.argoproj.io "$2" --type json -p "$patch"
}
synced() { # NAMESPACE APPLICATION: nothing that auto-sync would change the moment it is on
  refresh "$1" "$2"
  value=$(get "$1" "$2" '{.status.sync.status}')
  if [ "$value" != Synced ]; then
    echo "$2 is $value: auto-sync would change it at once. Look at it first" >&2
    exit 1
  fi
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
begin_changes() { # forgets the changes of the commit before
  rm -rf "$WORK/changes"
  mkdir "$WORK/changes"
}
change() { # takes the patch of one file from standard input
  cat >"$WORK/changes/$(($(ls "$WORK/changes" | wc -l) + 100))"
}
applies() { # FOLDER PATCH [OPTION]
  git -C "$1" apply --index --check --whitespace=nowarn ${3:+"$3"} "$2" 2>/dev/null
}
changes() { # FOLDER BRANCH [COMMIT...]: makes the changes that the branch does not have; these commits of others came before them
  folder=$1
  branch=$2
  shift 2
  for patch in "$WORK"/changes/*; do
    [ -e "$patch" ] || continue
    until applies "$folder" "$patch" || applies "$folder" "$patch" --reverse; do
      {
        echo "a change does not fit what $branch holds:"
        grep '^[-+]' "$patch"
        if [ "$#" -gt 0 ]; then
          echo "others had pushed this before it, and it has to be on $branch first:"
          for commit in "$@"; do
            printf '  %s\n' "$commit"
          done
        fi
      } >&2
      if [ ! -t 0 ]; then
        echo 'standard input is no terminal, so that nobody can be waited for: stopped before the commit' >&2
        exit 1
      fi
      printf 'Bring it to %s (the same commit, or one that does the same), and press enter; Ctrl-C stops here. ' "$branch"
      read -r _ || {
        echo 'stopped before the commit' >&2
        exit 1
      }
      git -C "$folder" pull -q --ff-only
    done
  done
  for patch in "$WORK"/changes/*; do
    if applies "$folder" "$patch"; then
      git -C "$folder" apply --index --whitespace=nowarn "$patch"
    fi
  done
}
commit() { # FOLDER BRANCH MESSAGE
  if git -C "$1" diff --cached --quiet; then
    echo "$2 has all of it already: nothing to commit"
  else
    git -C "$1" commit -q -m "$3"
  fi
}
identity() { # FOLDER: commits need a name
  git -C "$1" config user.email >/dev/null || {
    git -C "$1" config user.name "$(id -un)"
    git -C "$1" config user.email "$(id -un)@$(uname -n)"
  }
}
