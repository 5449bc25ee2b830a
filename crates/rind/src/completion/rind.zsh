#compdef rind
# Completion of rind's command line in zsh, as `rind completion zsh` prints it: the file _rind in a
# folder of $fpath, or
#
#     source <(rind completion zsh)

_rind() {
    local line
    local -a offers
    for line in "${(@f)$($words[1] completion zsh "${(@Q)words[2,CURRENT]}" 2> /dev/null)}"; do
        case $line in
            '') ;;
            # What is offered for --flag=value is the value.
            :files) compset -P '-*='; _files ;;
            :folders) compset -P '-*='; _files -/ ;;
            *) offers+=("${line%%$'\t'*}:${line#*$'\t'}") ;;
        esac
    done
    (( $#offers )) || return
    [[ $words[CURRENT] != -*=* ]] || compset -P '-*='
    _describe -t offers rind offers
}

if [[ ${funcstack[1]} == _rind ]]; then
    _rind "$@"
else
    compdef _rind rind
fi
