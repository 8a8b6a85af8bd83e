package ruleset

import "errors"

var self, _ = Self()

// Install and Remove are for tests that need the rules and no more.
func Install(c Config) error { return with(c.Table, func(t *Table) error { return t.Install(c) }) }

// Remove is the contrary of Install.
func Remove(table string) error { return with(table, (*Table).Remove) }

func with(name string, f func(*Table) error) error {
	if name == "" {
		name = DefaultTable
	}
	t, err := Open(name, self, nil)
	if err != nil {
		return err
	}
	return errors.Join(f(t), t.Close())
}
