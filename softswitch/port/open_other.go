//go:build !linux

package port

import "fmt"

func openTAP(name string) (Port, error) { return nil, fmt.Errorf("tap %s: %w", name, ErrUnsupported) }

func openUnix(path string) (Port, error) { return nil, fmt.Errorf("link %s: %w", path, ErrUnsupported) }

func openInterface(name string) (Port, error) {
	return nil, fmt.Errorf("interface %s: %w", name, ErrUnsupported)
}
