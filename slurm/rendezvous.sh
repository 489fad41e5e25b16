# Where the processes of this job meet: the first node, at a port from the job's id.
first_host() { # node-[01-03,07]-ib,other -> node-01-ib
  local list=$1
  while [[ $list =~ ^([^][,]*)\[([^],-]+)[^]]*\](.*)$ ]]; do
    list=${BASH_REMATCH[1]}${BASH_REMATCH[2]}${BASH_REMATCH[3]}
  done
  echo "${list%%,*}"
}

meet() { # many | one: how many machines the nodes are
  # two jobs on one node do not collide, nor a requeued job with its own ghost; below the ephemeral ports
  MASTER_PORT=$((15000 + (SLURM_JOB_ID + 4999 * ${SLURM_RESTART_COUNT:-0}) % 15000))
  MASTER_ADDR=127.0.0.1
  [ "$1" = one ] && return
  MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" 2>/dev/null | head -n 1) || true
  [ -n "$MASTER_ADDR" ] || MASTER_ADDR=$(first_host "$SLURM_JOB_NODELIST")
  local address
  address=$(getent ahosts "$MASTER_ADDR" | head -n 1 | cut -d ' ' -f 1) || true
  case $address in
  "")
    echo "corgi: the first node, $MASTER_ADDR, has no address by that name; mend the name service of the nodes" >&2
    exit 1
    ;;
  127.* | ::1)
    echo "corgi: the first node, $MASTER_ADDR, is $address to itself, where other nodes cannot reach it;" \
      "mend /etc/hosts, or say slurm.train.hosts=one if all nodes are one machine" >&2
    exit 1
    ;;
  esac
}
