# Completion of DTCL's arguments in bash. The words of commands come from the program itself.
# Made from the program's help page: scripts/generate
_dtcl() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} first=${COMP_WORDS[1]} IFS=$'\n'
    COMPREPLY=()
    case $before in
        -f | --file | --check | --lock | --log)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
    esac
    case $first in
        serve) mapfile -t COMPREPLY < <(compgen -W $'--listen\n--drain-timeout' -- "$current"); return ;;
        fmt) mapfile -t COMPREPLY < <(compgen -f -W $'--check\n--json' -- "$current"); return ;;
        lsp) mapfile -t COMPREPLY < <(compgen -W $'--stdio' -- "$current"); return ;;
        user) mapfile -t COMPREPLY < <(compgen -W $'add\npasswd\nremove\nlist' -- "$current"); return ;;
        grant) mapfile -t COMPREPLY < <(compgen -W $'list\nremove\ntasks' -- "$current"); return ;;
        --check)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        -*)
            if [[ $current == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W $'-i\n--interactive\n-f\n--file\n-c\n--command\n--check\n--complete\n--json\n--lock\n--log\n--dry-run\n-v\n--verbose\n-q\n--quiet\n--timeout\n--var\n--limit\n--drain-timeout\n-h\n--help\n-V\n--version' -- "$current")
                return
            fi
            ;;
    esac
    local typed=${COMP_LINE:0:COMP_POINT}
    mapfile -t COMPREPLY < <("$1" --complete "${typed#*[[:space:]]}" 2>/dev/null)
    if ((COMP_CWORD == 1)); then
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W $'serve\nfmt\nlsp\nuser\ngrant' -- "$current")
    fi
}
complete -o filenames -F _dtcl DTCL dtcl
