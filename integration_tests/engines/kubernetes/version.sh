# The Kubernetes that is built here: that of go.mod beside this file.
# shellcheck shell=bash disable=SC2034 # for those who source it

kubernetes=$(awk '$1 == "k8s.io/kubernetes" || $2 == "k8s.io/kubernetes" { print $NF; exit }' \
    "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/go.mod")
