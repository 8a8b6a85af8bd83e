package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/ftpalg/ftpalg/alg/policy"
	"go.yaml.in/yaml/v3"
)

// reader sets what a file says and collects what is wrong in it.
type reader struct {
	file     string
	within   string // what precedes the names of keys in messages
	keys     []key
	c        *Config
	policies *yaml.Node // read when all that they inherit is known
	errs     []error
}

// parse reads the file's text into c, but for the policies.
func (r *reader) parse(text []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil // empty, or comments only
	case err != nil:
		return r.yamlError(err)
	}
	switch err := d.Decode(&more); {
	case err == nil:
		r.fail(&more, "", "a second document begins here", "one document")
	case !errors.Is(err, io.EOF):
		return r.yamlError(err)
	}
	r.section(doc.Content[0], "")
	return r.err()
}

// err returns what was wrong since it was last asked.
func (r *reader) err() error {
	errs := r.errs
	r.errs = nil
	return errors.Join(errs...)
}

func (r *reader) fail(n *yaml.Node, key, what, allowed string) {
	if key = r.within + key; key != "" {
		key = strings.TrimSuffix(key, ".") + ": "
	}
	r.errs = append(r.errs, fmt.Errorf("%s:%d: %s%s; allowed: %s", r.file, n.Line, key, what, allowed))
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (?s)(.*)$`)

// yamlError puts file and line of a syntax error first.
func (r *reader) yamlError(err error) error {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("%s:%s: not YAML: %s", r.file, m[1], m[2])
	}
	return fmt.Errorf("%s: not YAML: %s", r.file, strings.TrimPrefix(err.Error(), "yaml: "))
}

// section reads the keys in a mapping; prefix is its name with a dot behind it.
func (r *reader) section(n *yaml.Node, prefix string) {
	n = target(n)
	if isNull(n) {
		return
	}
	names := inside(r.keys, prefix)
	if prefix == "" && r.within == "" {
		names = append(names, policiesKey)
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, strings.TrimSuffix(prefix, "."), "this is not a list of keys with values",
			strings.Join(names, ", "))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		full := prefix + k.Value
		if line, twice := seen[k.Value]; twice {
			r.fail(k, full, fmt.Sprintf("it is in line %d already", line), "each key once")
			continue
		}
		seen[k.Value] = k.Line
		if found, ok := find(r.keys, full); ok {
			r.value(v, found)
		} else if k.Value != "" && len(inside(r.keys, full+".")) > 0 {
			r.section(v, full+".")
		} else if full == policiesKey && r.within == "" {
			r.policies = v
		} else {
			r.fail(k, full, "no such key"+nearest(k.Value, names), strings.Join(names, ", "))
		}
	}
}

// readPolicies reads the policies for some networks. What an entry does not name is as in c.
func (r *reader) readPolicies() error {
	if r.policies == nil {
		return nil
	}
	const allowed = "a list of entries with clients, servers or both, " +
		"and the keys that are to differ for them"
	n := target(r.policies)
	switch {
	case isNull(n):
		return nil
	case n.Kind != yaml.SequenceNode:
		r.fail(n, policiesKey, "this is not a list", allowed)
		return r.err()
	}
	var all []policy.Network
	for i, entry := range n.Content {
		c := Config{Policy: r.c.Policy, Policies: make([]policy.Network, 1)}
		e := &reader{file: r.file, within: fmt.Sprintf("%s[%d].", policiesKey, i),
			keys: append(networkKeys, policyKeys...), c: &c}
		e.section(entry, "")
		own := c.Policies[0]
		if e.errs == nil && len(own.Clients)+len(own.Servers) == 0 {
			e.fail(entry, "", "it names neither clients nor servers",
				"networks for one of them or both; what is for all stands outside of "+policiesKey)
		}
		r.errs = append(r.errs, e.errs...)
		own.Policy = c.Policy
		all = append(all, own)
	}
	r.c.Policies = all
	return r.err()
}

// value sets one key.
func (r *reader) value(n *yaml.Node, k key) {
	line := n
	n = target(n)
	if isNull(n) {
		return // named, but left as it is
	}
	var texts []string
	switch {
	case n.Kind == yaml.ScalarNode:
		texts = []string{n.Value}
	case n.Kind == yaml.SequenceNode && k.list:
		for _, e := range n.Content {
			e = target(e)
			if e.Kind != yaml.ScalarNode {
				r.fail(e, k.name, "an entry of the list is not a single value", k.allowed)
				return
			}
			texts = append(texts, e.Value)
		}
	default:
		r.fail(line, k.name, "this is not a single value", k.allowed)
		return
	}
	for _, what := range problems(k.set(r.c, texts)) {
		r.fail(line, k.name, what, k.allowed)
	}
}

// target follows an alias.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// problems takes joined errors apart.
func problems(err error) []string {
	var all []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, problems(e)...)
		}
	} else if err != nil {
		all = append(all, err.Error())
	}
	return all
}
