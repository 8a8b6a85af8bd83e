package ruleset

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// attempts is how often a change is tried anew because another program changed
// the ruleset in between.
const attempts = 16

// Table is the nftables table of one process. It knows whose table is in force,
// and touches none that belongs to another process that runs. It is for
// concurrent use.
type Table struct {
	name  string
	bound func(queue uint16) bool // see Owner.Alive

	mu     sync.Mutex
	sock   *socket
	self   Owner
	config Config
	digest uint64 // of the table as it was installed
	in     bool   // the table is installed, and not yet removed or lost
	left   bool   // to the operator, see Leave
}

// Open prepares for a table in the network namespace of the calling thread, in
// the name of self. bound tells whether some program has a queue.
func Open(name string, self Owner, bound func(queue uint16) bool) (*Table, error) {
	s, err := openSocket(0)
	if err != nil {
		return nil, err
	}
	return &Table{name: name, bound: bound, sock: s, self: self}, nil
}

// Leave leaves the table to the operator: a [Watch] tells what becomes of it from
// now on, and Repair does nothing to it.
func (t *Table) Leave() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	digest, err := t.sock.digest(t.name)
	if err != nil {
		return fmt.Errorf("look at nftables table %s: %w", t.name, err)
	}
	t.digest, t.left = digest, true
	return nil
}

// Close leaves the table as it is, and unwatched.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.in = false
	return t.sock.close()
}

// Install makes the table in place of one with the same name. After an error the
// old table is as it was. The error is an [OwnedError] if the old one belongs to
// another process that runs. Needs CAP_NET_ADMIN.
func (t *Table) Install(c Config) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.install(c, nil)
}

// TakeOver is Install that takes the table from a process that runs, and returns
// that one. It finds out by its [Watch].
func (t *Table) TakeOver(c Config) (from Owner, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	err = t.install(c, &from)
	return from, err
}

// install is Install, or TakeOver if from is not nil.
func (t *Table) install(c Config, from *Owner) error {
	c.Table = t.name
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return fmt.Errorf("install nftables table %s: %w", t.name, err)
	}
	err := t.replace(c, from)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("install nftables table %s: the kernel lacks something that its rules need, "+
			"`ftpalg check` tells what: %w", t.name, err)
	case err != nil:
		return fmt.Errorf("install nftables table %s: %w", t.name, err)
	}
	return nil
}

// replace puts the table in force and takes its digest before anybody has changed
// it. Both are done anew if the ruleset changes meanwhile: whose table was
// replaced is known, and so is what stands there.
func (t *Table) replace(c Config, from *Owner) error {
	t.self.Queue = c.Queue
	for range attempts {
		gen, err := t.sock.generation()
		if err != nil {
			return err
		}
		if err := t.mayReplace(from); err != nil {
			return err
		}
		counted, err := t.sock.counters(t.name)
		if err != nil && !errors.Is(err, errInterrupted) {
			return err
		}
		there, err := t.sock.contents(t.name)
		if err != nil && !errors.Is(err, errInterrupted) {
			return err
		}
		switch err := t.sock.commit(gen, build(c, t.self.comment(), counted, there)); {
		case errors.Is(err, unix.ERESTART):
			continue
		case err != nil:
			return err
		}
		t.config, t.in, from = c, true, nil
		digest, err := t.sock.digest(t.name)
		if errors.Is(err, errInterrupted) {
			continue
		}
		if err != nil {
			return err
		}
		t.digest = digest
		if now, err := t.sock.generation(); err != nil || now == next(gen) {
			return err
		}
	}
	if t.in { // somebody changes other tables all the time
		return nil
	}
	return errors.New("other programs change the ruleset all the time")
}

// next is the generation after gen; the kernel leaves 0 out.
func next(gen uint32) uint32 {
	if gen++; gen == 0 {
		gen++
	}
	return gen
}

// mayReplace looks whether the table belongs to another process that runs, which
// is an error or, if from is not nil, told there.
func (t *Table) mayReplace(from *Owner) error {
	o, found, err := t.sock.owner(t.name)
	if err != nil || !found || o.ID == t.self.ID || !o.Alive(t.bound) {
		return err
	}
	if from != nil {
		*from = o
		return nil
	}
	return &OwnedError{t.name, o}
}

// Remove removes the table if it is still that of this process: no other that
// takes it meanwhile loses it, as the kernel refuses to remove it if the ruleset
// is not the one that was looked at. It is no error if there is none.
func (t *Table) Remove() error { return t.remove((*batch).deleteTable) }

// Empty removes the rules, and leaves the table: nothing is queued any more. While
// packets wait in the queues the table must not be removed: they would leave out
// the hook after it, see build.
func (t *Table) Empty() error { return t.remove((*batch).flushRules) }

func (t *Table) remove(how func(b *batch, table string)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.in = false
	for range attempts {
		err := t.removeOnce(how)
		switch {
		case errors.Is(err, unix.ERESTART):
			continue
		case err != nil:
			return fmt.Errorf("remove nftables table %s: %w", t.name, err)
		}
		return nil
	}
	return fmt.Errorf("remove nftables table %s: other programs change the ruleset all the time", t.name)
}

func (t *Table) removeOnce(how func(*batch, string)) error {
	gen, err := t.sock.generation()
	if err != nil {
		return err
	}
	o, found, err := t.sock.owner(t.name)
	if err != nil || !found || o.ID != t.self.ID {
		return err
	}
	var b batch
	how(&b, t.name)
	return t.sock.commit(gen, &b)
}

// Owner returns whose table is in force; ok is false if there is none, or one
// that names nobody.
func (t *Table) Owner() (o Owner, ok bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o, ok, err = t.sock.owner(t.name); err != nil {
		return o, ok, fmt.Errorf("look for the owner of nftables table %s: %w", t.name, err)
	}
	return o, ok, nil
}

// Condition is what became of a table.
type Condition uint8

const (
	Whole   Condition = iota // as it was installed
	Gone                     // there is none, or nothing in it
	Altered                  // others have changed it
	Taken                    // it belongs to another process that runs
)

func (c Condition) String() string { return [...]string{"whole", "gone", "altered", "taken"}[c] }

// Verify looks at the whole table. The owner is that of a table that is Taken.
func (t *Table) Verify() (Condition, Owner, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.verifyLocked()
}

func (t *Table) verifyLocked() (Condition, Owner, error) {
	for range attempts {
		c, o, err := t.verifyOnce()
		if !errors.Is(err, errInterrupted) {
			return c, o, err
		}
	}
	return Altered, Owner{}, nil
}

func (t *Table) verifyOnce() (Condition, Owner, error) {
	o, found, err := t.sock.owner(t.name)
	if err != nil {
		return Altered, Owner{}, err
	}
	if found && o.ID != t.self.ID && o.Alive(t.bound) {
		return Taken, o, nil
	}
	digest, err := t.sock.digest(t.name)
	switch {
	case err != nil:
		return Altered, Owner{}, err
	case digest == emptyDigest:
		return Gone, Owner{}, nil
	case digest != t.digest || !found || o.ID != t.self.ID:
		return Altered, Owner{}, nil
	}
	return Whole, Owner{}, nil
}

// Repair installs the table again if it is not whole, with what it had. It does
// nothing to a table that is Taken, nor after Remove.
func (t *Table) Repair() (found Condition, by Owner, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.left:
		found, err = t.lookLocked()
		return found, by, err
	case !t.in:
		return Whole, by, nil
	}
	found, by, err = t.verifyLocked()
	switch {
	case err != nil:
		return found, by, fmt.Errorf("look at nftables table %s: %w", t.name, err)
	case found == Taken:
		t.in = false
		return found, by, nil
	case found == Whole:
		return found, by, nil
	}
	return found, by, t.install(t.config, nil)
}

// lookLocked tells what became of a table that is left to the operator since it
// was last asked. It is never Gone twice.
func (t *Table) lookLocked() (Condition, error) {
	digest, err := t.sock.digest(t.name)
	if err != nil || digest == t.digest {
		return Whole, err
	}
	t.digest = digest
	if digest == emptyDigest {
		return Gone, nil
	}
	return Altered, nil
}

// Counters returns what the table's rules have counted since it was first made,
// whoever made it: a table that is installed anew goes on from the old one.
func (t *Table) Counters() (Counters, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, err := t.sock.counters(t.name)
	if err != nil {
		return c, fmt.Errorf("read the counters of nftables table %s: %w", t.name, err)
	}
	return c, nil
}
