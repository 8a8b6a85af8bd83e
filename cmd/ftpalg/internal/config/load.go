package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Sources are where a configuration comes from.
type Sources struct {
	File  string                      // path of the YAML file; empty: none
	Env   func(string) (string, bool) // looks a variable up; nil: no environment
	Flags map[string]string           // by key, as in "metrics.address"
}

// Load returns the defaults with what the file, the environment and the flags
// say, the later ones being the stronger. It reports all that is wrong at once.
func (s Sources) Load() (Config, error) {
	c := Default()
	r := &reader{file: s.File, keys: keys, c: &c}
	var errs []error
	if s.File != "" {
		text, err := os.ReadFile(s.File)
		if err != nil {
			return Config{}, fmt.Errorf("read the configuration: %w", err)
		}
		errs = append(errs, r.parse(text))
	}
	for _, k := range keys {
		// An empty variable is one that was not set: compose files pass those on.
		if text, ok := s.env(EnvName(k.name)); ok && text != "" {
			errs = append(errs, k.setText(&c, EnvName(k.name), text))
		}
		if text, ok := s.Flags[k.name]; ok {
			errs = append(errs, k.setText(&c, "--"+FlagName(k.name), text))
		}
	}
	errs = append(errs, r.readPolicies())
	return c, errors.Join(errs...)
}

func (s Sources) env(name string) (string, bool) {
	if s.Env == nil {
		return "", false
	}
	return s.Env(name)
}

// EnvName is the environment variable of a key.
func EnvName(key string) string {
	return "FTPALG_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// FlagName is the flag of a key, without its dashes.
func FlagName(key string) string {
	if key == "http.config_file" {
		return "web.config.file" // as all exporters for Prometheus call it
	}
	return strings.NewReplacer(".", "-", "_", "-").Replace(key)
}

// Allowed says what a key takes.
func Allowed(name string) string {
	k, _ := find(keys, name)
	return k.allowed
}

// setText sets a key from a variable or flag, in which a list has commas.
func (k key) setText(c *Config, where, text string) error {
	texts := []string{text}
	if k.list {
		texts = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	}
	var errs []error
	for _, what := range problems(k.set(c, texts)) {
		errs = append(errs, fmt.Errorf("%s: %s; allowed: %s", where, what, k.allowed))
	}
	return errors.Join(errs...)
}
