# SPDX-License-Identifier: MIT
# Completion of memplug for fish: commands and options are those that `memplug help` names, pools those
# that run, attributes those that the pool has.

# The words between memplug and the cursor, without the pool and global options.
function __memplug_words
	set -l words (commandline -opc)[2..]
	while string match -q -- '-*' $words[1]
		test "$words[1]" = -p; and set -e words[1]
		set -e words[1]
	end
	printf '%s\n' $words
end

function __memplug_command
	set -l words (__memplug_words)
	contains -- "$words[1]" $argv
end

# -p POOL, if the line has it.
function __memplug_pool
	string match -rg -- ' (-p +\S+)' (commandline -pc) | string split -n ' '
end

complete -c memplug -f
complete -c memplug -s p -x -d 'which pool' -a "(memplug ps 2>/dev/null | awk 'NR > 1 { print \$1; print \$2 }')"
complete -c memplug -n '__memplug_command ""' -a '--json --help --version'
complete -c memplug -n '__memplug_command "" help' -a "(memplug --help 2>/dev/null | string match -rg '^  ([a-z, ]*[a-z])  ' | string split ', ')"
complete -c memplug -n 'not __memplug_command ""' \
	-a "(memplug help (__memplug_words)[1] 2>/dev/null | string match -arg -- '(--[a-z-]+)' | sort -u)"
complete -c memplug -n '__memplug_command get set' -a '(memplug (__memplug_pool) get 2>/dev/null | cut -d= -f1)'
complete -c memplug -n '__memplug_command run mount replay sim' -F
complete -c memplug -l zone -x -a 'movable kernel'
complete -c memplug -l memmap -x -a 'self external auto'
complete -c memplug -l grow -x -a 'auto none'
complete -c memplug -l children -x -a 'pool none'
complete -c memplug -l huge -x -a 'auto large none'
complete -c memplug -l backing -x -a 'ram memfd hugetlb:2M hugetlb:1G dax: file:'
complete -c memplug -l svg -r -F
