// Package config is the program's configuration: defaults, a YAML file, the
// environment and flags, each stronger than the one before.
//
// One table names every key with what it allows and how it is set; the file,
// the environment and the flags all go through it. What is wrong anywhere is
// reported at once, with file, line, key and what is allowed there.
package config
