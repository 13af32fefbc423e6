// Package schematest has what tests say of the schemas that other servers answer: a document
// with something of everything, and random mutations of it.
package schematest
