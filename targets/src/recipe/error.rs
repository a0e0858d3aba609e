//! Why there is no recipe.

/// Why there is no recipe. Nothing secret is in the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The name can't be part of the names on the router.
    #[error(
        "`{0}` can't name a container: use 1 to 32 lower-case letters, digits and `-`, beginning with a letter or digit"
    )]
    Name(String),
    /// An option's value has no place in a script.
    #[error("{option}: {reason}")]
    Value {
        /// What was given wrong.
        option: String,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// The image runs on no router.
    #[error(
        "the image is for {0}, and containers run on linux/arm64, linux/arm and linux/amd64 routers; build it with --platform or --for"
    )]
    Platform(String),
    /// There is nothing to run.
    #[error("the image has neither ENTRYPOINT nor CMD; say what to run with --entrypoint or --cmd")]
    NoCommand,
    /// A command that RouterOS' one field can't hold.
    #[error(
        "{0} has an argument that is empty or holds a space, a quote or a backslash: RouterOS splits the field at spaces \
         and knows no quotes; put the command into a script of the image and name that"
    )]
    Unspellable(&'static str),
    /// Beyond what a router handles as one file's contents.
    #[error(
        "the script would have {bytes} bytes, and routers handle less than {limit}; give the container fewer or shorter --env values and mounts"
    )]
    TooLong {
        /// How long it would be.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
}
