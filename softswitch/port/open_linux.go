package port

func openTAP(name string) (Port, error) { return nilOnError(OpenTAP(name)) }

func openUnix(path string) (Port, error) { return nilOnError(OpenUnix(path)) }

func openInterface(name string) (Port, error) { return nilOnError(OpenInterface(name)) }

// nilOnError keeps a nil pointer from becoming a non-nil Port.
func nilOnError[P Port](p P, err error) (Port, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}
