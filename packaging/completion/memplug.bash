# SPDX-License-Identifier: MIT
# Completion of memplug for bash: commands and options are those that `memplug help` names, pools those
# that run, attributes those that the pool has.

_memplug_commands() {
	memplug --help 2>/dev/null | sed -n 's/^  \([a-z, ]*[a-z]\)  .*/\1/p' | tr -d ,
}

_memplug_options() { # COMMAND
	memplug help "$1" 2>/dev/null | grep -o -e '--[a-z-]*' | sort -u
}

_memplug_pools() {
	memplug ps 2>/dev/null | awk 'NR > 1 { print $1; print $2 }'
}

_memplug() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' pool='' i words=''
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-p) pool=${COMP_WORDS[++i]} ;;
		-*) ;;
		*) command=${COMP_WORDS[i]} && break ;;
		esac
	done
	case $before in
	-p) words=$(_memplug_pools) ;;
	--zone) words="movable kernel" ;;
	--memmap) words="self external auto" ;;
	--grow) words="auto none" ;;
	--children) words="pool none" ;;
	--huge) words="auto large none on off" ;;
	--policy) words="add say" ;;
	--placement) words="local prefer interleave bind" ;;
	--backing) words="ram memfd hugetlb:2M hugetlb:1G dax: file:" ;;
	--svg) compopt -o default 2>/dev/null && return ;;
	*)
		case $command:$word in
		:-*) words="-p --json --help --version" ;;
		:*) words=$(_memplug_commands) ;;
		run:[!-]*) compopt -o default 2>/dev/null && return ;;
		*:-*) words=$(_memplug_options "$command") ;;
		help:*) words=$(_memplug_commands) ;;
		get:* | set:*) words=$(memplug ${pool:+-p "$pool"} get 2>/dev/null | cut -d= -f1) ;;
		mount:* | replay:* | sim:*) compopt -o default 2>/dev/null && return ;;
		esac
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -F _memplug memplug
