# bash completion for skshim and skshim-restart

_skshim_pids()
{
	# processes that have a tree's shared file mapped
	local maps
	for maps in /proc/[0-9]*/maps; do
		grep -qs '/skshim-[0-9]*-[0-9a-f]*$' "$maps" && maps=${maps#/proc/} && echo "${maps%/maps}"
	done
}

_skshim_restart_words()
{
	case $prev in
	--pidfile) COMPREPLY=($(compgen -f -- "$cur")); return ;;
	--tcp) COMPREPLY=($(compgen -W 'repair reconnect reset fail' -- "$cur")); return ;;
	--unix-external) COMPREPLY=($(compgen -W 'reconnect reset fail' -- "$cur")); return ;;
	--status-fd | --inherit-fd | --map-address) return ;;
	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W '-d --detach --pidfile --status-fd --tcp --unix-external --inherit-fd --map-address
			--plan --or-run --sockets-only' -- "$cur"))
	else
		COMPREPLY=($(compgen -d -- "$cur"))
	fi
}

# Where the command of `run`, `--or-run` and `--sockets-only` begins: behind `--`.
_skshim_command_at()
{
	local i
	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == -- ]] && echo $((i + 1)) && return
	done
}

_skshim()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at
	at=$(_skshim_command_at)
	COMPREPLY=()
	if [[ -n $at ]]; then
		if declare -F _command_offset >/dev/null; then
			_command_offset "$at"
		else
			COMPREPLY=($(compgen -c -f -- "$cur"))
		fi
		return
	fi
	if [[ ${COMP_WORDS[0]##*/} == skshim-restart ]]; then
		_skshim_restart_words
		return
	fi
	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W 'run checkpoint restart inspect verify check ps --help --version' -- "$cur"))
		return
	fi
	case ${COMP_WORDS[1]} in
	run)
		case $prev in
		-D | --dir) COMPREPLY=($(compgen -d -- "$cur")) ;;
		-s | --signal) COMPREPLY=($(compgen -W 'USR1 USR2 HUP RTMIN+1' -- "$cur")) ;;
		--files) COMPREPLY=($(compgen -W 'nameless written' -- "$cur")) ;;
		--files-max) COMPREPLY=($(compgen -W '64M 1G' -- "$cur")) ;;
		*) COMPREPLY=($(compgen -W '-D --dir --signal --files --files-max --' -- "$cur") $(compgen -c -- "$cur")) ;;
		esac
		;;
	checkpoint)
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--stop --json --timeout' -- "$cur"))
		else
			COMPREPLY=($(compgen -W "$(_skshim_pids)" -- "$cur"))
		fi
		;;
	restart) _skshim_restart_words ;;
	inspect)
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--json --dot --tree' -- "$cur"))
		else
			COMPREPLY=($(compgen -d -- "$cur"))
		fi
		;;
	verify) COMPREPLY=($(compgen -d -- "$cur")) ;;
	check | ps) COMPREPLY=($(compgen -W '--json' -- "$cur")) ;;
	esac
}

complete -o filenames -F _skshim skshim skshim-restart
