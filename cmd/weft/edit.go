package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	tty "golang.org/x/term"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

func newEdit() *cobra.Command {
	var at reach
	var in scope
	var w waiting
	cmd := &cobra.Command{
		Use:   "edit {KIND NAME... | KIND/NAME...}",
		Short: "Change objects in an editor",
		Long: `Open objects in an editor, and store them as they are saved: all of them or, if
one is refused, none. The editor is $WEFT_EDITOR, $VISUAL, $EDITOR or vi.

What is refused is opened again, with the reason on top. So it is if somebody
else changed an object meanwhile, with what they changed: saving once more puts
your text in the place of theirs. To give up, save nothing, or an empty file.`,
		Example: `  weft edit router/acme/gw
  EDITOR='code --wait' weft edit vport web --tenant acme --wait`,
		Args: someArgs("KIND NAME or KIND/NAME, such as vport acme/web"),
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := in.refs(args)
			if err != nil {
				return err
			}
			return at.with(cmd.Context(), func(n network) error {
				e := editing{cmd: cmd, n: n, at: map[topology.Ref]int64{}}
				defer e.tidy()
				if err := e.fetch(refs); err != nil {
					return err
				}
				put, err := e.rounds()
				if err != nil || put == nil {
					return err
				}
				e.done = true
				if err := printSteps(cmd.OutOrStdout(), e.did.steps, false); err != nil || !w.on {
					return err
				}
				return w.wait(cmd, n, e.did.revision, tenantsOf(put, nil))
			})
		},
	}
	in.tenantFlag(cmd)
	w.flags(cmd)
	at.flags(cmd)
	in.login = at.tenant
	cmd.ValidArgsFunction = completeObjects(&at, &in, false)
	return cmd
}

// editing is objects in an editor.
type editing struct {
	cmd  *cobra.Command
	n    network
	at   map[topology.Ref]int64 // the objects, with the revisions that are edited
	refs []topology.Ref
	text []byte // as stored, without notes
	file string // that is open, or was
	did  *changed
	done bool // nothing is lost if the file goes
}

// fetch reads the objects.
func (e *editing) fetch(refs []topology.Ref) error {
	for _, r := range refs {
		o, rev, err := oneOf(e.cmd.Context(), e.n, r)
		if err != nil {
			return err
		}
		if o.Status.Of != "" {
			return fmt.Errorf("%s: is a part of %s; edit that", refName(o.Ref()), o.Status.Of)
		}
		if _, twice := e.at[o.Ref()]; twice {
			continue
		}
		b, err := specYAML(o)
		if err != nil {
			return err
		}
		if len(e.text) > 0 {
			e.text = append(e.text, "---\n"...)
		}
		e.text = append(e.text, b...)
		e.at[o.Ref()] = rev
		e.refs = append(e.refs, o.Ref())
	}
	return nil
}

const editHint = "# Lines that begin with # are notes. Save to store it; an empty file, or nothing saved, changes nothing."

// rounds has the objects edited until they are stored; nil: nothing is to be.
func (e *editing) rounds() ([]*topology.Object, error) {
	text, notes := e.text, []string(nil)
	for {
		saved, err := e.edit(text, notes)
		if err != nil {
			return nil, err
		}
		saved = withoutNotes(saved)
		switch {
		case len(bytes.TrimSpace(saved)) == 0, notes == nil && bytes.Equal(saved, e.text):
			e.done = true
			_, err := fmt.Fprintln(e.cmd.ErrOrStderr(), "nothing changed")
			return nil, err
		case notes != nil && bytes.Equal(saved, text) && !strings.Contains(notes[0], meanwhile):
			return nil, fmt.Errorf("gave up: it was saved as it was refused; your text is in %s\n  %s", e.file, strings.Join(notes, "\n  "))
		}
		text = saved
		put, err := e.decode(saved)
		if err == nil {
			e.did, err = e.n.Change(e.cmd.Context(), change{put: put, at: e.at})
		}
		var wrong topology.Errors
		switch {
		case err == nil:
			return put, nil
		case errors.As(err, &wrong):
			notes = strings.Split(wrong.Error(), "\n")
		case errors.Is(err, state.ErrConflict):
			if notes, err = e.meanwhile(e.cmd.Context()); err != nil {
				return nil, fmt.Errorf("%w; your text is in %s", err, e.file)
			}
		default:
			return nil, fmt.Errorf("%w; your text is in %s", err, e.file)
		}
	}
}

// decode reads what was saved, which must be the same objects.
func (e *editing) decode(text []byte) ([]*topology.Object, error) {
	put, err := topology.Decode("", text)
	if err != nil {
		return nil, asFieldErrors(err)
	}
	seen := map[topology.Ref]bool{}
	for _, o := range put {
		r := o.Ref()
		if _, edited := e.at[r]; !edited || seen[r] {
			return nil, asFieldErrors(fmt.Errorf("%s: is not what is edited, which is %s; kind, tenant and name stay", refName(r), refNames(e.refs)))
		}
		seen[r] = true
	}
	for _, r := range e.refs {
		if !seen[r] {
			return nil, asFieldErrors(fmt.Errorf("%s: is missing; weft delete removes objects", refName(r)))
		}
	}
	return put, nil
}

// asFieldErrors makes any error one that the text can be put right for.
func asFieldErrors(err error) error {
	var list topology.Errors
	if errors.As(err, &list) {
		return list
	}
	return topology.Errors{{Problem: err.Error()}}
}

func refNames(refs []topology.Ref) string {
	words := make([]string, len(refs))
	for i, r := range refs {
		words[i] = refName(r)
	}
	return strings.Join(words, ", ")
}

const meanwhile = "was changed meanwhile"

// meanwhile says what others changed since the objects were read; from now on, theirs are what is replaced.
func (e *editing) meanwhile(ctx context.Context) (notes []string, err error) {
	notes = []string{"An object " + meanwhile + ", as follows. Saving puts your text in the place of it."}
	before, err := topology.Decode("", e.text)
	if err != nil {
		return nil, err
	}
	for _, o := range before {
		now, rev, err := e.n.Get(ctx, o.Ref())
		if err != nil {
			return nil, err
		}
		if rev == e.at[o.Ref()] {
			continue
		}
		e.at[o.Ref()] = rev
		was, err := specYAML(o)
		if err != nil {
			return nil, err
		}
		is, err := specYAML(now)
		if err != nil {
			return nil, err
		}
		notes = append(notes, strings.Split(strings.TrimSuffix(string(diff.Diff("as you read it", was, "as it is now", is)), "\n"), "\n")...)
	}
	return notes, nil
}

// edit opens text in the editor, with notes on top, and returns what is saved.
func (e *editing) edit(text []byte, notes []string) ([]byte, error) {
	var b bytes.Buffer
	for _, n := range notes {
		fmt.Fprintf(&b, "# %s\n", n)
	}
	if notes != nil {
		b.WriteString("#\n")
	}
	fmt.Fprintln(&b, editHint)
	b.Write(text)
	if e.file == "" {
		f, err := os.CreateTemp("", "weft-*.yaml")
		if err != nil {
			return nil, err
		}
		e.file = f.Name()
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(e.file, b.Bytes(), 0o600); err != nil {
		return nil, err
	}
	editor := "vi"
	for _, env := range []string{"WEFT_EDITOR", "VISUAL", "EDITOR"} {
		if v := strings.TrimSpace(os.Getenv(env)); v != "" {
			editor = v
			break
		}
	}
	if in, ok := e.cmd.InOrStdin().(*os.File); editor == "vi" && (!ok || !tty.IsTerminal(int(in.Fd()))) {
		e.done = notes == nil
		return nil, usage(errors.New("no terminal to edit at; EDITOR can name a program that edits the file"))
	}
	c := exec.CommandContext(e.cmd.Context(), "sh", "-c", editor+` "$1"`, "weft", e.file)
	c.Stdin, c.Stdout, c.Stderr = e.cmd.InOrStdin(), e.cmd.OutOrStdout(), e.cmd.ErrOrStderr()
	if err := c.Run(); err != nil {
		e.done = notes == nil
		return nil, fmt.Errorf("editor %q: %w; set EDITOR to another", editor, err)
	}
	return os.ReadFile(e.file)
}

// withoutNotes leaves out lines that begin with #.
func withoutNotes(text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte("#")) {
			out = append(out, line...)
		}
	}
	return out
}

// tidy removes the file, unless it has what was not stored.
func (e *editing) tidy() {
	if e.done && e.file != "" {
		os.Remove(e.file)
	}
}
