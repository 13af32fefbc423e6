// Package openapi serves the OpenAPI documents of an API server, made when somebody asks
// for them.
//
// The generic API server of Kubernetes makes them when it starts, and keeps them for as long
// as it runs: as structures and, once an aggregator asked for the index, as JSON too. That is
// some twenty megabytes in a process that hardly anybody asks: kubectl keeps what it has
// read on disk, under the hash that is in the index.
//
// Here only the index of v3 is kept, which aggregators ask for every second. Documents are
// made at the first request and forgotten a minute after the last one:
//
//	config.SkipOpenAPIInstallation = true
//	server, err := config.Complete(informers).New(name, delegate)
//	...
//	documents := openapi.Install(openapi.Config{
//		Routes: server.Handler.GoRestfulContainer, V2: config.OpenAPIConfig, V3: config.OpenAPIV3Config,
//	}, server.Handler.NonGoRestfulMux)
//	...
//	documents.Changed() // what they describe is another
package openapi
