# Completion for bash: the options are asked of the program itself, so that there is no second list of them.
_celeriac() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	case $before in
	-l | --loglevel) mapfile -t COMPREPLY < <(compgen -W 'DEBUG INFO WARNING ERROR CRITICAL' -- "$word") ;;
	--dead) mapfile -t COMPREPLY < <(compgen -W 'list show requeue drop' -- "$word") ;;
	-P | --pool) mapfile -t COMPREPLY < <(compgen -W 'threads solo' -- "$word") ;;
	-f | --logfile | --pidfile | -I | --include | --import-openapi*) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	--workdir) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
	--uid) mapfile -t COMPREPLY < <(compgen -u -- "$word") ;;
	--gid) mapfile -t COMPREPLY < <(compgen -g -- "$word") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "$("$1" --help 2>/dev/null | grep -oE -e '--?[a-z][a-z-]*' | sort -u)" -- "$word") ;;
	esac
}
complete -F _celeriac celeriac-worker celeriac-beat
