# Completion of DTCL's arguments in fish. The words of commands come from the program itself.
# Made from the program's help page: scripts/generate
function __dtcl_words
    set -l typed (commandline -cp)
    set -l program (commandline -opc)[1]
    $program --complete (string replace -r '^\S+\s*' '' -- $typed) 2>/dev/null
end

for program in DTCL dtcl
    complete -c $program -f
    complete -c $program -n __fish_use_subcommand -s i -l interactive -d 'the interactive shell'
    complete -c $program -n __fish_use_subcommand -s f -l file -r -F -d 'the script; all that follows is the script'\''s ($1, $2, ...)'
    complete -c $program -n __fish_use_subcommand -s c -l command -x -d 'the script'\''s text'
    complete -c $program -n __fish_use_subcommand -l check -r -F -d 'report every error and warning of the files'
    complete -c $program -n __fish_use_subcommand -l complete -x -d 'what could follow in a command, one a line, for the completion of your shell'
    complete -c $program -n __fish_use_subcommand -l json -d 'results as one JSON document per command, messages as JSON'
    complete -c $program -n __fish_use_subcommand -l lock -r -F -d 'one run at a time: a second one ends with status 1 and says who holds FILE'
    complete -c $program -n __fish_use_subcommand -l log -r -F -d 'append all that is printed and said, with date, time and process'
    complete -c $program -n __fish_use_subcommand -l dry-run -d 'run against a copy of the machines'\'' state: nothing is changed, what would be done'
    complete -c $program -n __fish_use_subcommand -s v -l verbose -d 'say each command on standard error before it runs'
    complete -c $program -n __fish_use_subcommand -s q -l quiet -d 'print nothing on standard output; errors are said'
    complete -c $program -n __fish_use_subcommand -l timeout -x -d 'end the run, whatever it does, after so long'
    complete -c $program -n __fish_use_subcommand -l var -x -d 'assign $NAME before the script begins'
    complete -c $program -n __fish_use_subcommand -l limit -x -d 'what one call into a Rhai module may do: operations (10000000), depth (64),'
    complete -c $program -n __fish_use_subcommand -l drain-timeout -x -d 'how long connections of this run may go on at its end (60)'
    complete -c $program -n __fish_use_subcommand -s h -l help -d 'this page'
    complete -c $program -n __fish_use_subcommand -s V -l version -d 'the version'
    complete -c $program -n __fish_use_subcommand -a serve -d 'run the service'
    complete -c $program -n __fish_use_subcommand -a fmt -d 'format scripts'
    complete -c $program -n __fish_use_subcommand -a lsp -d 'language server for editors'
    complete -c $program -n __fish_use_subcommand -a user -d 'users with a password'
    complete -c $program -n __fish_use_subcommand -a grant -d 'what other machines may do'
    complete -c $program -n '__fish_seen_subcommand_from serve' -a '--listen --drain-timeout'
    complete -c $program -n '__fish_seen_subcommand_from fmt' -F -a '--check --json'
    complete -c $program -n '__fish_seen_subcommand_from lsp' -a '--stdio'
    complete -c $program -n '__fish_seen_subcommand_from user' -a 'add passwd remove list'
    complete -c $program -n '__fish_seen_subcommand_from grant' -a 'list remove tasks'
    complete -c $program -n 'not __fish_seen_subcommand_from serve fmt lsp user grant' -a '(__dtcl_words)'
end
