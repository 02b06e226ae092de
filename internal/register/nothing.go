package register

// A NothingError says that a replica did not take a record: nothing of it was written there, and nothing will be.
type NothingError struct {
	Cause error
}

func (e *NothingError) Error() string { return e.Cause.Error() + "; nothing was written" }

func (e *NothingError) Unwrap() error { return e.Cause }
