#compdef DTCL dtcl
# Completion of DTCL's arguments in zsh. The words of commands come from the program itself.
# Made from the program's help page: scripts/generate
local -a options forms found
options=(
  '-i:the interactive shell'
  '--interactive:the interactive shell'
  '-f:the script; all that follows is the script'\''s ($1, $2, ...)'
  '--file:the script; all that follows is the script'\''s ($1, $2, ...)'
  '-c:the script'\''s text'
  '--command:the script'\''s text'
  '--check:report every error and warning of the files'
  '--complete:what could follow in a command, one a line, for the completion of your shell'
  '--json:results as one JSON document per command, messages as JSON'
  '--lock:one run at a time\: a second one ends with status 1 and says who holds FILE'
  '--log:append all that is printed and said, with date, time and process'
  '--dry-run:run against a copy of the machines'\'' state\: nothing is changed, what would be done'
  '-v:say each command on standard error before it runs'
  '--verbose:say each command on standard error before it runs'
  '-q:print nothing on standard output; errors are said'
  '--quiet:print nothing on standard output; errors are said'
  '--timeout:end the run, whatever it does, after so long'
  '--var:assign $NAME before the script begins'
  '--limit:what one call into a Rhai module may do\: operations (10000000), depth (64),'
  '--drain-timeout:how long connections of this run may go on at its end (60)'
  '-h:this page'
  '--help:this page'
  '-V:the version'
  '--version:the version'
)
forms=(
  'serve:run the service'
  'fmt:format scripts'
  'lsp:language server for editors'
  'user:users with a password'
  'grant:what other machines may do'
)
case $words[CURRENT-1] in
  (-f|--file|--check|--lock|--log) _files; return ;;
esac
(( CURRENT > 2 )) && case $words[2] in
  serve) compadd -- --listen --drain-timeout; return ;;
  fmt) compadd -- --check --json; _files; return ;;
  lsp) compadd -- --stdio; return ;;
  user) compadd -- add passwd remove list; return ;;
  grant) compadd -- list remove tasks; return ;;
  --check) _files; return ;;
esac
if [[ $words[2] == -* && $words[CURRENT] == -* ]]; then
  _describe option options
  return
fi
found=(${(f)"$($words[1] --complete "${(j: :)words[2,CURRENT]}" 2>/dev/null)"})
(( CURRENT == 2 )) && _describe form forms
compadd -- $found
