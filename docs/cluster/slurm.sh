#!/bin/bash
# A sweep over the nodes of a Slurm allocation:  sbatch docs/cluster/slurm.sh EXPERIMENT
# Submit it from the project's folder, which every node must see.
#SBATCH --job-name=whosehand
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=2G
#SBATCH --time=04:00:00
set -euo pipefail

experiment=${1:?the experiment file}
# shellcheck source=/dev/null
source .venv/bin/activate

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000)) # other users have clusters on these nodes too

# A token for this job alone. It is in a file that only you can read, and in no command line.
umask 077
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$PWD/.ray_token_$SLURM_JOB_ID"
python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$RAY_AUTH_TOKEN_PATH"
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT

export RAY_USAGE_STATS_ENABLED=0 RAY_memory_monitor_refresh_ms=0 RAY_worker_niceness=0
export RAY_health_check_period_ms=1000 RAY_health_check_timeout_ms=2000 RAY_health_check_failure_threshold=5
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300 # seconds; 30 are too few where Python is read from a slow disk

# Options go to every node, so that none of the head alone (--include-dashboard) can be given here.
# When the time is over all of it is killed; the same sbatch goes on from the ledger.
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
	ray symmetric-run --address "$address:$port" --min-nodes "$SLURM_JOB_NUM_NODES" \
	--num-cpus="$SLURM_CPUS_PER_TASK" \
	-- whosehand sweep "$experiment" --set executor.name=ray
