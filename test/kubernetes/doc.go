// Package kubernetes decodes the manifests strictly, by the types of Kubernetes and of the Prometheus
// operator. It is a module of its own, so that these are no dependencies of the program.
package kubernetes
