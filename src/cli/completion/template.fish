# Completion of DTCL's arguments in fish. The words of commands come from the program itself.
# Made from the program's help page: scripts/generate
function __dtcl_words
    set -l typed (commandline -cp)
    set -l program (commandline -opc)[1]
    $program --complete (string replace -r '^\S+\s*' '' -- $typed) 2>/dev/null
end

for program in DTCL dtcl
    complete -c $program -f
@options@
@first@
@follows@
    complete -c $program -n 'not __fish_seen_subcommand_from @forms@' -a '(__dtcl_words)'
end
