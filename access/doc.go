// Package access says who somebody is and what he may do (A1): users, tokens and other identities, roles, what tenants have from the provider, and the log of changes to these.
//
// A request goes one way:
//
//	Authenticate (who)  →  Allow (may he do this to that object: policy.cedar)  →  Admit (may his objects be as they would be: grants, leased addresses, quotas)
//
// The last is asked with the stored set of objects, in the attempt that writes, so that two changes at once cannot both take the last of something.
//
// Who a tenant is not, he learns nothing of: what is not his is not there.
package access
