# Completion of DTCL's arguments in bash. The words of commands come from the program itself.
# Made from the program's help page: scripts/generate
_dtcl() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} first=${COMP_WORDS[1]} IFS=$'\n'
    COMPREPLY=()
    case $before in
        @files@)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
    esac
    case $first in
@follows@
        --check)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        -*)
            if [[ $current == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W $'@options@' -- "$current")
                return
            fi
            ;;
    esac
    local typed=${COMP_LINE:0:COMP_POINT}
    mapfile -t COMPREPLY < <("$1" --complete "${typed#*[[:space:]]}" 2>/dev/null)
    if ((COMP_CWORD == 1)); then
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W $'@forms@' -- "$current")
    fi
}
complete -o filenames -F _dtcl DTCL dtcl
