#!/bin/sh
# A slurm of one node on this machine, to try job arrays: munged, slurmctld and slurmd, all files in one folder, nothing of systemd.
# Needs root and `apt-get install slurm-wlm` (Debian 12: slurm 22.05).
#
#   eval "$(benchmarks/one_node_slurm.sh start /tmp/slurm)"     then sbatch, squeue, scancel, scontrol
#   benchmarks/one_node_slurm.sh stop /tmp/slurm
#
# Processes are tracked in /proc, because a container often may not make cgroups. Jobs share the cores.
set -eu
command=$1 folder=$2
if [ "$command" = stop ]; then
    for name in slurmd slurmctld munged; do
        [ -f "$folder/$name.pid" ] && kill "$(cat "$folder/$name.pid")" || true
    done
    exit
fi
mkdir -p "$folder/state" "$folder/spool"
chmod 755 "$folder"
cat > "$folder/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthInfo=socket=$folder/munge.socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=${TASK_PLUGIN:-task/none}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=work Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=FORCE:4
CONF
[ -f "$folder/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom > "$folder/munge.key")
munged --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munged.seed" >&2
slurmctld -f "$folder/slurm.conf" >&2
slurmd -f "$folder/slurm.conf" >&2
echo "export SLURM_CONF=$folder/slurm.conf"
