# Completion of rind's command line in bash, as `rind completion bash` prints it:
#
#     source <(rind completion bash)

_rind() {
    local word about current=${COMP_WORDS[COMP_CWORD]}
    # Of --flag=value, three words to bash.
    [[ $current != '=' ]] || current=
    COMPREPLY=()
    while IFS=$'\t' read -r word about; do
        case $word in
            :files)
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
                compopt -o filenames 2> /dev/null
                ;;
            :folders)
                mapfile -t COMPREPLY < <(compgen -d -- "$current")
                compopt -o filenames 2> /dev/null
                ;;
            *) COMPREPLY+=("$word") ;;
        esac
    done < <("${COMP_WORDS[0]}" completion bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null)
}

complete -F _rind rind
