#compdef DTCL dtcl
# Completion of DTCL's arguments in zsh. The words of commands come from the program itself.
# Made from the program's help page: scripts/generate
local -a options forms found
options=(
@options@
)
forms=(
@forms@
)
case $words[CURRENT-1] in
  (@files@) _files; return ;;
esac
(( CURRENT > 2 )) && case $words[2] in
@follows@
  --check) _files; return ;;
esac
if [[ $words[2] == -* && $words[CURRENT] == -* ]]; then
  _describe option options
  return
fi
found=(${(f)"$($words[1] --complete "${(j: :)words[2,CURRENT]}" 2>/dev/null)"})
(( CURRENT == 2 )) && _describe form forms
compadd -- $found
