# How this job begins and ends: marks for a cluster without accounting, and what it does when it is asked to leave.
#   exits/ID       started, or the exit code         exits/ID.log   a line each time: seconds, mark, restarts, node
begin() { # id, what it is known by
  export mark=$marks/$1
  signals=0 asked='' child='' reached='' begun=''
  note started
  trap 'hear USR1' USR1
  trap 'hear TERM' TERM
  trap 'end $?' EXIT
}

note() {
  echo "$1" >"$mark"
  echo "$(date +%s) $1 ${SLURM_RESTART_COUNT:-0} ${SLURMD_NODENAME:-$(hostname)}" >>"$mark.log"
}

hear() { # pass it on to what runs, which saves and leaves, and we wait for it
  # always as USR1: for a TERM srun ends the step itself, and kills after KillWait what is still saving
  signals=$((signals + 1))
  asked=$1
  [ -z "$child" ] || kill -s USR1 "$child" 2>/dev/null || true
}

well() { # look at the node by a command; where that says 94, or comes to no end, the job ends before it begins
  local code=0
  "$@" || code=$?
  case $code in 124 | 137) code=94 && echo "corgi: nobody has answered; a file server may hang" >&2 ;; esac
  [ "$code" != 94 ] || echo "corgi: ${SLURMD_NODENAME:-a node} is not fit for this job; what is broken, and its mend, stands above" >&2
  [ "$code" != 94 ] || exit 94
}

step() { # run a command to its end, whatever signals come meanwhile
  local before code
  begun=yes
  [ -z "$asked" ] || exit 75
  "$@" &
  child=$!
  while true; do
    before=$signals code=0
    wait "$child" || code=$?
    [ "$before" = "$signals" ] && break # else it was a signal that ended `wait`
  done
  child=''
  [ "$code" = 0 ] || exit "$code"
}

end() {
  local code=$1
  trap '' USR1 TERM
  if [ "$code" = 0 ] && [ "$reached" != end ]; then code=1; fi # ended elsewhere than at its last line
  case $begun$code in # setup may leave without a word
  1 | 2 | 127) echo "corgi: ended before the first command, with exit code $code: see above, \`modules\` and \`setup\`" >&2 ;;
  esac
  if [ -e "$mark.stopped" ]; then                            # a node of a training left with 75
    rm "$mark.stopped"
    [ "$code" = 93 ] || code=75
  fi
  if [ -e "$mark.told" ]; then # a node ended by a signal: ours, or srun's where another node has failed
    rm "$mark.told"
    case $code in 1 | 2 | 3 | 93) ;; *) code=75 ;; esac
  fi
  case $code in 138 | 143) code=75 ;; esac                   # it left by USR1 or TERM itself, without a word
  case $code in 0 | 2 | 3 | 93 | 94) ;; *) [ -z "$asked" ] || code=75 ;; esac
  if [ "$code" = 75 ]; then
    if [ "$asked" = TERM ] && is_ended_by_the_cluster; then
      code=143
    elif [ "$((${SLURM_RESTART_COUNT:-0}))" -ge "$restarts" ]; then
      echo "corgi: stopped early for the $((restarts + 1)). time, and slurm.restarts is $restarts: this was the last" >&2
      code=93
    fi
  fi
  note "$code"
  [ "$code" != 75 ] || [ "$preemption" != requeue ] || scontrol requeue "$SLURM_JOB_ID" ||
    echo "corgi: this job cannot be requeued; \`corgi submit\` goes on, and slurm.preemption=singleton needs no requeue" >&2
  exit "$code"
}

is_ended_by_the_cluster() { # scancel, or no time left; a job that is only asked to make room is still running
  local state='' tries
  for tries in 1 2 3; do # a controller that is busy says nothing of the job
    state=$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T 2>/dev/null) && break
    [ "$tries" = 3 ] || sleep 1
  done
  [ "$state" != RUNNING ]
}

follow() { # id of the job before this one in a chain of such jobs, and how many were before: go on where that stopped
  local before
  begun=yes
  export SLURM_RESTART_COUNT=$2
  before=$(cat "$marks/$1" 2>/dev/null || true)
  case $before in
  0) finish ;;
  '' | started | 75 | 137 | 143) ;; # stopped early, killed, or lost with its node
  *) exit "$before" ;;
  esac
}

finish() {
  reached=end
  exit 0
}
