# SPDX-License-Identifier: Apache-2.0
# Completion in bash of netproxy, netproxyctl and netproxy-vm. Commands, flags and the words that a flag
# takes come from the program's own --help as it is asked, so that there is no list here to be kept in step.

# _netproxy_words PROGRAM [COMMAND]: the commands, or those behind COMMAND.
_netproxy_words() {
	case ${1##*/} in
	netproxy-vm | netproxyctl)
		if [ "$2" = image ]; then
			echo build
		elif [ $# -gt 1 ]; then
			"$1" help "$2" 2> /dev/null | sed -n "/^usage:\$/,\$ s/^  netproxy-vm $2 \([a-z][a-z]*\).*/\1/p"
		else
			"$1" help 2> /dev/null | sed -n '/^To start:/q; s/^  \([a-z][a-z]*\) .*/\1/p'
		fi
		;;
	esac
}

# _netproxy_help PROGRAM [COMMAND [WORD]]: the lines of flags of its help, "-mem SIZE".
_netproxy_help() {
	local program=$1 about=(--help)
	if [ "${program##*/}" = netproxy-vm ] && [ $# -gt 1 ]; then
		about=("${@:2}" -help)
	elif [ "${program##*/}" = netproxyctl ] && [ $# -gt 1 ]; then
		about=("$2" --help)
	fi
	"$program" "${about[@]}" 2> /dev/null | sed -n 's/^  \(--\{0,1\}[a-z][a-z0-9-]*\)/\1/p'
}

# _netproxy_values FLAG, without its dashes, of the help on standard input: the words that it may be, of "auto|kvm|tap:IF", and "FILE" for a path.
_netproxy_values() {
	local value alternative
	value=$(sed -n "s/^--\{0,1\}$1 \([^ ]*\).*/\1/p" | head -n 1)
	local IFS='|'
	for alternative in $value; do
		case $alternative in
		*FILE* | *PATH* | *DIR* | *SOCKET* | PROGRAM) echo FILE ;;
		esac
		alternative=${alternative%%[[A-Z]*}
		case $alternative in
		[a-z0-9]*) printf '%s\n' "$alternative" ;;
		esac
	done
}

_netproxy() {
	local program=${COMP_WORDS[0]/#\~\//$HOME/} current=${COMP_WORDS[COMP_CWORD]}
	local before=${COMP_WORDS[COMP_CWORD - 1]} i words=() help candidates=""
	# Both -flag VALUE and -flag=VALUE, of which bash makes three words.
	if [ "$current" = "=" ]; then
		current=
	elif [ "$before" = "=" ]; then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-* | =) ;;
		*) words+=("${COMP_WORDS[i]}") ;;
		esac
	done
	COMPREPLY=()
	type "$program" > /dev/null 2>&1 || return 0
	case ${program##*/} in
	netproxy-vm | netproxyctl)
		if [ ${#words[@]} -gt 1 ] && _netproxy_words "$program" "${words[0]}" | grep -qxF -e "${words[1]}"; then
			words=("${words[@]:0:2}")
		else
			words=("${words[@]:0:1}")
		fi
		;;
	*) words=() ;;
	esac
	help=$(_netproxy_help "$program" "${words[@]}")
	if [ "${before#-}" != "$before" ]; then
		before=${before#-} before=${before#-}
		candidates=$(_netproxy_values "$before" <<< "$help")
		if [ -n "$candidates" ] || grep -q -e "^--\{0,1\}$before [A-Z[]" <<< "$help"; then
			_netproxy_reply "$candidates" "$current"
			return 0
		fi
	fi
	case $current in
	-*) candidates=$(sed 's/[ ,].*//' <<< "$help") ;;
	*)
		[ ${#words[@]} -gt 1 ] || candidates=$(_netproxy_words "$program" "${words[@]}")
		case ${program##*/}/${words[0]} in
		netproxy-vm/run) candidates=FILE ;;
		netproxy-vm/cp | netproxy-vm/screenshot) candidates="FILE $(_netproxy_machines "$program")" ;;
		netproxy-vm/ | netproxy-vm/image | netproxy-vm/list | netproxy-vm/doctor) ;;
		netproxy-vm/help) candidates=$(_netproxy_words "$program") ;;
		netproxy-vm/*) [ -n "$candidates" ] || candidates=$(_netproxy_machines "$program") ;;
		esac
		;;
	esac
	_netproxy_reply "$candidates" "$current"
}

_netproxy_machines() { "$1" list 2> /dev/null | sed -n '2,$ s/ .*//p'; }

# Of the candidates those that begin so; FILE stands for all files.
_netproxy_reply() {
	case " ${1//$'\n'/ } " in
	*" FILE "*) compopt -o default 2> /dev/null ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "${1//FILE/}" -- "$2")
}

complete -F _netproxy netproxy netproxyctl netproxy-vm
