// Builds say which other file to read instead: go build -modfile=1.28.mod
module github.com/koinon-io/koinon/test/clients/kubectl

go 1.26.5
