// Package documents keeps the documents in step with the program: what is fenced as "sh" is run, in a network
// namespace with the program on its path and a gateway that runs; "sh NAME" is run by the test that knows the
// name; "console" cannot be run in a test. Other fences are no commands.
package documents
