// Package elastic has a map that gives back the room that it does not need any more, which Go's keeps.
package elastic
