# Completion of DTCL's arguments in bash. The words of commands come from the program itself.
_dtcl() {
    local current=${COMP_WORDS[COMP_CWORD]} first=${COMP_WORDS[1]} IFS=$'\n'
    COMPREPLY=()
    if ((COMP_CWORD == 1)) && [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W $'-i\n-f\n-c\n--check\n--json\n--lock\n--log\n-v\n-q\n--timeout\n--var\n--limit\n--drain-timeout\n--help\n--version' -- "$current")
        return
    fi
    case $first in
        -f | --file | --check)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        serve) mapfile -t COMPREPLY < <(compgen -W $'--listen\n--drain-timeout' -- "$current"); return ;;
        user) mapfile -t COMPREPLY < <(compgen -W $'add\npasswd\nremove\nlist' -- "$current"); return ;;
        grant) mapfile -t COMPREPLY < <(compgen -W $'list\nremove' -- "$current"); return ;;
    esac
    local typed=${COMP_LINE:0:COMP_POINT}
    mapfile -t COMPREPLY < <("$1" --complete "${typed#*[[:space:]]}" 2>/dev/null)
    if ((COMP_CWORD == 1)); then
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W $'serve\nuser\ngrant' -- "$current")
    fi
}
complete -o filenames -F _dtcl DTCL dtcl
