# Completion of rind's command line in fish, as `rind completion fish` prints it: the file rind.fish
# in ~/.config/fish/completions, or
#
#     rind completion fish | source

function __rind_offers
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l current (commandline --current-token --cut-at-cursor)
    # What is offered for --flag=value is the value.
    set -l flag (string match --regex -- '^-[^=]*=' "$current")
    set -l value (string replace -- "$flag" '' "$current")
    for line in ($words[1] completion fish $words[2..] "$current" 2>/dev/null)
        switch $line
            case ':files'
                printf '%s\n' "$flag"(__fish_complete_path "$value")
            case ':folders'
                printf '%s\n' "$flag"(__fish_complete_directories "$value" '')
            case '*'
                printf '%s\n' "$flag$line"
        end
    end
end

complete --command rind --no-files --arguments '(__rind_offers)'
