//! Saved responses and conversations: what a client may read again and continue.
//!
//! The store does not read their texts. Callers pass the time, in milliseconds since 1970.

use crate::{Registry, error::Result};

/// A response as it was last saved.
#[derive(Clone, PartialEq, Eq)]
pub struct SavedResponse {
    /// Its id.
    pub id: String,
    /// The items of its request.
    pub input: String,
    /// The response itself.
    pub record: String,
}

/// A conversation as it was last saved, without its items.
#[derive(Clone, PartialEq, Eq)]
pub struct SavedConversation {
    /// Its id.
    pub id: String,
    /// What was saved.
    pub record: String,
    /// Bytes of the record and of all items.
    pub bytes: i64,
}

/// An item of a conversation.
#[derive(Clone, PartialEq, Eq)]
pub struct SavedItem {
    /// Its id, unique in its conversation.
    pub id: String,
    /// What was saved.
    pub record: String,
}

/// Which items of a conversation a page has.
#[derive(Debug, Clone, Copy)]
pub struct ItemQuery<'a> {
    /// The item before the first one of the page; `None` for the first page.
    pub after: Option<&'a str>,
    /// Whether the newest items come first.
    pub newest_first: bool,
    /// Most items of the page.
    pub count: u32,
    /// No further item follows once the page has this many bytes.
    pub bytes: u32,
}

/// A page of the items of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemPage {
    /// The items, in the order of the query.
    pub items: Vec<SavedItem>,
    /// Whether items follow.
    pub has_more: bool,
}

/// Texts of users and models do not belong into logs.
macro_rules! debug_shows_only_the_id {
    ($($name:ident)*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("id", &self.id).finish_non_exhaustive()
            }
        }
    )*};
}

debug_shows_only_the_id!(SavedResponse SavedConversation SavedItem);

impl Registry {
    /// Saves a response, and replaces an earlier one of the same id.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn save_response(&self, response: &SavedResponse, now: i64) -> Result<()> {
        self.0.index.save_response(response, now).await
    }

    /// Replaces the record of a saved response, if input and record have at most `most` bytes together then. Returns whether it is
    /// replaced: a response that was removed is not saved again.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn update_response(
        &self,
        id: &str,
        record: &str,
        most: u64,
        now: i64,
    ) -> Result<bool> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.0.index.update_response(id, record, most, now).await
    }

    /// The response of this id, if it was saved at `oldest` or later.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn response(&self, id: &str, oldest: i64) -> Result<Option<SavedResponse>> {
        self.0.index.response(id, oldest).await
    }

    /// Removes a response. Returns whether it was there.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn remove_response(&self, id: &str) -> Result<bool> {
        self.0.index.remove_response(id).await
    }

    /// Removes the responses and conversations that were saved before `oldest`, and then the oldest ones until at most `most` bytes
    /// are left. Those of the ids in `kept` stay, and the newest one unless `most` is 0. Returns how many bytes are left.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn trim_responses(&self, most: u64, oldest: i64, kept: &[String]) -> Result<u64> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let left = self.0.index.trim_responses(most, oldest, kept).await?;
        Ok(left.cast_unsigned())
    }

    /// Saves a new conversation.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn save_conversation(
        &self,
        conversation: &SavedConversation,
        now: i64,
    ) -> Result<()> {
        self.0.index.save_conversation(conversation, now).await
    }

    /// Replaces the record of a conversation, and keeps its items. Returns whether it is replaced: a conversation that was removed is
    /// not saved again.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn update_conversation(&self, id: &str, record: &str, now: i64) -> Result<bool> {
        self.0.index.update_conversation(id, record, now).await
    }

    /// The conversation of this id, if it was changed at `oldest` or later.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn conversation(&self, id: &str, oldest: i64) -> Result<Option<SavedConversation>> {
        self.0.index.conversation(id, oldest).await
    }

    /// Removes a conversation with its items. Returns whether it was there.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn remove_conversation(&self, id: &str) -> Result<bool> {
        self.0.index.remove_conversation(id).await
    }

    /// Adds items to the end of a conversation, except those whose id it has already, if the conversation was changed at `oldest` or
    /// later and has at most `most` bytes then. Returns whether they are added.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn add_items(
        &self,
        conversation: &str,
        items: &[SavedItem],
        most: u64,
        oldest: i64,
        now: i64,
    ) -> Result<bool> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let index = &self.0.index;
        index
            .add_items(conversation, items, most, oldest, now)
            .await
    }

    /// The items of a conversation, in order.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn items(&self, conversation: &str) -> Result<Vec<SavedItem>> {
        self.0.index.items(conversation).await
    }

    /// An item of a conversation.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn item(&self, conversation: &str, id: &str) -> Result<Option<SavedItem>> {
        self.0.index.item(conversation, id).await
    }

    /// A page of the items of a conversation; `None` if it has no item `after`.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn item_page(
        &self,
        conversation: &str,
        query: ItemQuery<'_>,
    ) -> Result<Option<ItemPage>> {
        self.0.index.item_page(conversation, query).await
    }

    /// Removes an item of a conversation. Returns whether it was there.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub async fn remove_item(&self, conversation: &str, id: &str) -> Result<bool> {
        self.0.index.remove_item(conversation, id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Options;

    async fn open(home: &std::path::Path) -> Registry {
        Registry::open(Options::new(home)).await.expect("it opens")
    }

    fn response(id: &str, record: &str) -> SavedResponse {
        SavedResponse {
            id: id.to_owned(),
            input: "[]".to_owned(),
            record: record.to_owned(),
        }
    }

    fn conversation(id: &str) -> SavedConversation {
        SavedConversation {
            id: id.to_owned(),
            record: "{}".to_owned(),
            bytes: 2,
        }
    }

    fn item(id: &str, record: &str) -> SavedItem {
        SavedItem {
            id: id.to_owned(),
            record: record.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_response_is_there_after_a_restart_until_it_is_removed() {
        let home = tempfile::tempdir().expect("a folder");
        let registry = open(home.path()).await;
        registry
            .save_response(&response("a", "one"), 5)
            .await
            .unwrap();
        registry
            .save_response(&response("a", "two"), 7)
            .await
            .unwrap();
        registry.close().await;
        drop(registry);
        let registry = open(home.path()).await;
        let found = registry.response("a", 7).await.unwrap();
        assert_eq!(found, Some(response("a", "two")));
        assert_eq!(registry.response("a", 8).await.unwrap(), None, "too old");
        assert!(registry.remove_response("a").await.unwrap());
        assert!(!registry.remove_response("a").await.unwrap());
        assert_eq!(registry.response("a", 0).await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_oldest_go_first_when_the_budget_is_used_up() {
        let home = tempfile::tempdir().expect("a folder");
        let registry = open(home.path()).await;
        registry
            .save_response(&response("a", "12345678"), 1)
            .await
            .unwrap();
        registry
            .save_conversation(&conversation("b"), 2)
            .await
            .unwrap();
        let items = [item("i", "12345678")];
        assert!(registry.add_items("b", &items, 99, 0, 3).await.unwrap());
        registry
            .save_response(&response("c", "12345678"), 4)
            .await
            .unwrap();
        assert_eq!(registry.trim_responses(30, 0, &[]).await.unwrap(), 30);
        assert_eq!(registry.trim_responses(29, 0, &[]).await.unwrap(), 20);
        assert_eq!(registry.response("a", 0).await.unwrap(), None);
        assert!(registry.conversation("b", 0).await.unwrap().is_some());
        assert_eq!(registry.trim_responses(100, 4, &[]).await.unwrap(), 10);
        assert_eq!(registry.conversation("b", 0).await.unwrap(), None);
        assert_eq!(
            registry.items("b").await.unwrap(),
            [],
            "its items are gone too"
        );
        assert!(registry.response("c", 0).await.unwrap().is_some());
        assert_eq!(registry.trim_responses(0, 0, &[]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_newest_stays_when_it_alone_exceeds_the_budget() {
        let home = tempfile::tempdir().expect("a folder");
        let registry = open(home.path()).await;
        for (id, saved_at) in [("a", 1), ("b", 2), ("d", 3), ("c", 3)] {
            let response = response(id, "12345678");
            registry.save_response(&response, saved_at).await.unwrap();
        }
        let has = async |id| registry.response(id, 0).await.unwrap().is_some();
        assert_eq!(registry.trim_responses(20, 0, &[]).await.unwrap(), 20);
        assert!(has("c").await && has("d").await && !has("b").await);
        assert_eq!(registry.trim_responses(19, 0, &[]).await.unwrap(), 10);
        assert!(has("d").await, "the higher id of the same moment stays");
        assert_eq!(registry.trim_responses(9, 0, &[]).await.unwrap(), 10);
        assert!(has("d").await);
        assert_eq!(registry.trim_responses(9, 4, &[]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_kept_ones_stay_and_count() {
        let home = tempfile::tempdir().expect("a folder");
        let registry = open(home.path()).await;
        for (id, saved_at) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
            let response = response(id, "12345678");
            registry.save_response(&response, saved_at).await.unwrap();
        }
        let kept = ["b".to_owned()];
        assert_eq!(registry.trim_responses(20, 0, &kept).await.unwrap(), 20);
        let has = async |id| registry.response(id, 0).await.unwrap().is_some();
        assert!(has("b").await && has("d").await && !has("c").await);
        assert_eq!(registry.trim_responses(9, 5, &kept).await.unwrap(), 10);
        assert!(has("b").await);
    }

    #[tokio::test]
    async fn items_keep_their_order_and_count_in_the_bytes_of_their_conversation() {
        let home = tempfile::tempdir().expect("a folder");
        let registry = open(home.path()).await;
        let bytes = async || registry.conversation("c", 0).await.unwrap().unwrap().bytes;
        assert!(
            !registry
                .add_items("c", &[item("z", "1")], 99, 0, 1)
                .await
                .unwrap()
        );
        registry
            .save_conversation(&conversation("c"), 1)
            .await
            .unwrap();
        let items = [item("z", "é"), item("a", "333")];
        assert!(registry.add_items("c", &items, 99, 0, 2).await.unwrap());
        assert_eq!(registry.items("c").await.unwrap(), items);
        assert_eq!(bytes().await, 7);
        let update = async || registry.update_conversation("c", "{     }", 3).await;
        assert!(update().await.unwrap());
        assert_eq!(bytes().await, 12);
        let again = [item("z", "1"), item("a", "2")];
        assert!(registry.add_items("c", &again, 99, 0, 4).await.unwrap());
        let kept = registry.items("c").await.unwrap();
        assert_eq!(kept, items, "the first of an id stays");
        assert_eq!(bytes().await, 12);
        let more = [item("b", "1234")];
        let add = async |most, oldest| registry.add_items("c", &more, most, oldest, 5).await;
        assert!(!add(15, 0).await.unwrap(), "too many bytes");
        assert!(!add(16, 5).await.unwrap(), "too old");
        assert_eq!(registry.items("c").await.unwrap(), items);
        assert!(add(16, 4).await.unwrap());
        assert!(registry.remove_item("c", "b").await.unwrap());
        assert!(registry.remove_item("c", "z").await.unwrap());
        assert!(!registry.remove_item("c", "z").await.unwrap());
        assert_eq!(bytes().await, 10);
        assert!(registry.remove_conversation("c").await.unwrap());
        assert!(!update().await.unwrap());
        assert_eq!(registry.conversation("c", 0).await.unwrap(), None);
        assert_eq!(registry.items("c").await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_page_has_at_most_so_many_items_and_bytes() {
        let home = tempfile::tempdir().expect("a folder");
        let registry = open(home.path()).await;
        for conversation in ["other", "c"] {
            let conversation = self::conversation(conversation);
            registry.save_conversation(&conversation, 1).await.unwrap();
        }
        let items = ["a", "b", "c", "d"].map(|id| item(id, "1234"));
        registry
            .add_items("c", &items[..2], 99, 0, 1)
            .await
            .unwrap();
        let others = [item("x", "1"), item("a", "2")];
        registry
            .add_items("other", &others, 99, 0, 1)
            .await
            .unwrap();
        registry
            .add_items("c", &items[2..], 99, 0, 1)
            .await
            .unwrap();
        let page = async |after, newest_first, count, bytes| {
            let query = ItemQuery {
                after,
                newest_first,
                count,
                bytes,
            };
            let page = registry.item_page("c", query).await.unwrap()?;
            let ids: String = page.items.iter().map(|item| item.id.as_str()).collect();
            Some((ids, page.has_more))
        };
        let expected = |ids: &str, has_more| Some((ids.to_owned(), has_more));
        assert_eq!(page(None, false, 9, 99).await, expected("abcd", false));
        assert_eq!(page(None, true, 3, 99).await, expected("dcb", true));
        assert_eq!(page(Some("b"), true, 3, 99).await, expected("a", false));
        assert_eq!(page(Some("b"), false, 1, 99).await, expected("c", true));
        assert_eq!(page(Some("d"), false, 1, 99).await, expected("", false));
        assert_eq!(page(None, false, 9, 8).await, expected("ab", true));
        assert_eq!(page(None, false, 9, 1).await, expected("a", true));
        assert_eq!(page(Some("x"), false, 9, 99).await, None);
        assert_eq!(
            registry.item("c", "a").await.unwrap(),
            Some(items[0].clone())
        );
        assert_eq!(registry.item("c", "x").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_record_is_replaced_while_its_response_is_there_and_fits() {
        let home = tempfile::tempdir().expect("a folder");
        let registry = open(home.path()).await;
        assert!(!registry.update_response("a", "two", 99, 1).await.unwrap());
        registry
            .save_response(&response("a", "one"), 1)
            .await
            .unwrap();
        assert!(registry.update_response("a", "four", 6, 2).await.unwrap());
        assert!(!registry.update_response("a", "5.", 3, 3).await.unwrap());
        let found = registry.response("a", 2).await.unwrap();
        assert_eq!(found, Some(response("a", "four")));
        assert_eq!(registry.trim_responses(99, 0, &[]).await.unwrap(), 6);
    }

    #[test]
    fn debug_shows_no_text() {
        let shown = format!("{:?} {:?}", response("a", "secret"), item("b", "secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
