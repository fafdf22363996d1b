#!/usr/bin/env bash
# OpenMPI: four ranks and their mpirun in one tree, which checks every sum and every message; killed, restarted, and at last let end
. "$(dirname "$0")/lib.sh"
need mpirun mpicc
cat >"$work/ranks.c" <<'END'
#include <mpi.h>
#include <stdio.h>
#include <unistd.h>

#define N 100000
static double part[N];

int main(int argc, char **argv)
{
	int rank, ranks, mine, any = 0;
	long turn, x, sum;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	for (turn = 0; !any; turn++) {
		x = rank * 100 + turn;
		MPI_Allreduce(&x, &sum, 1, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
		if (sum != ranks * turn + 100L * ranks * (ranks - 1) / 2) {
			printf("the sum of turn %ld is %ld\n", turn, sum);
			MPI_Abort(MPI_COMM_WORLD, 1);
		}
		for (int i = 0; i < N; i++)
			part[i] = rank * 1e6 + turn + i;
		MPI_Sendrecv_replace(part, N, MPI_DOUBLE, (rank + 1) % ranks, 1, (rank + ranks - 1) % ranks, 1, MPI_COMM_WORLD,
				     MPI_STATUS_IGNORE);
		for (int i = 0; i < N; i++)
			if (part[i] != (rank + ranks - 1) % ranks * 1e6 + turn + i) {
				printf("turn %ld: number %d is wrong\n", turn, i);
				MPI_Abort(MPI_COMM_WORLD, 1);
			}
		mine = access("stop", F_OK) == 0;
		MPI_Allreduce(&mine, &any, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
		if (rank == 0 && turn % 5 == 0) {
			printf("turn %ld\n", turn);
			fflush(stdout);
		}
	}
	MPI_Finalize();
	return 0;
}
END
mpicc -O1 -o "$work/ranks" "$work/ranks.c" || fail mpicc
later() {
	local at
	at=$(grep '^turn' "$dir/out" | tail -n 1 | cut -d ' ' -f 2)
	until_ok eval "[ \"\$(grep '^turn' '$dir/out' | tail -n 1 | cut -d ' ' -f 2)\" -gt $((at + 10)) ]"
}
# more ranks than processors give way to each other
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
for way in self,vader self,tcp; do
	say "$way"
	rm -rf "$work/stop" "${images:?}"/*
	export OMPI_MCA_btl=$way OMPI_MCA_btl_tcp_if_include=lo TMPDIR=$work
	app_start mpirun -n 4 ./ranks
	until_ok grep -q 'turn 5' "$dir/out"
	for generation in 1 2 3; do
		say "generation $generation"
		app_generation later
		same "processes" 4 "$(below "$outer" | wc -l)"
	done
	touch "$work/stop"
	wait "${launcher:-$root}"
	same "status of mpirun" 0 $?
	outer='' launcher=''
	: >"$dir/out"
done
say "three generations, by shared memory and by TCP"
