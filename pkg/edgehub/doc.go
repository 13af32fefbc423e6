// Package edgehub is what an edge node's programs use as their API server, so that they go on, and start again, while the cloud
// is away. Its parts are the packages below; docs/edgehub.md says what each does and what happens when something fails.
package edgehub
