#compdef memplug
# SPDX-License-Identifier: MIT
# Completion of memplug for zsh: commands and options are those that `memplug help` names, pools those
# that run, attributes those that the pool has.

_memplug() {
	local command='' pool='' i
	local -a candidates
	for ((i = 2; i < CURRENT; i++)); do
		case $words[i] in
		-p) pool=$words[++i] ;;
		-*) ;;
		*) command=$words[i] && break ;;
		esac
	done
	case $words[CURRENT-1] in
	-p) candidates=(${=$(memplug ps 2>/dev/null | awk 'NR > 1 { print $1; print $2 }')}) ;;
	--zone) candidates=(movable kernel) ;;
	--memmap) candidates=(self external auto) ;;
	--grow) candidates=(auto none) ;;
	--children) candidates=(pool none) ;;
	--huge) candidates=(auto large none on off) ;;
	--backing) candidates=(ram memfd hugetlb:2M hugetlb:1G dax: file:) ;;
	--svg) _files && return ;;
	*)
		case $command:$words[CURRENT] in
		:-*) candidates=(-p --json --help --version) ;;
		:* | help:*) candidates=(${=$(memplug --help 2>/dev/null | sed -n 's/^  \([a-z, ]*[a-z]\)  .*/\1/p' | tr -d ,)}) ;;
		run:[^-]*) _files && return ;;
		*:-*) candidates=(${(f)"$(memplug help $command 2>/dev/null | grep -o -e '--[a-z-]*' | sort -u)"}) ;;
		(get|set):*) candidates=(${(f)"$(memplug ${pool:+-p} ${pool:+$pool} get 2>/dev/null | cut -d= -f1)"}) ;;
		(mount|replay|sim):*) _files && return ;;
		esac
		;;
	esac
	compadd -a candidates
}

_memplug "$@"
