//! Embeddings and the list of models.

use async_openai::types::embeddings::{CreateEmbeddingRequestArgs, EncodingFormat};

use crate::service::{Service, refused};

pub async fn embeds(service: &Service) {
    let texts = ["The sky is blue.", "Grass is green."];
    let mut request = CreateEmbeddingRequestArgs::default()
        .model("vectors")
        .input(texts)
        .build()
        .expect("a request");
    let embeddings = service.client.embeddings();
    let plain = embeddings.create(request.clone()).await.expect("vectors");
    request.encoding_format = Some(EncodingFormat::Base64);
    let encoded = embeddings.create_base64(request).await.expect("vectors");
    assert_eq!((plain.data.len(), encoded.data.len()), (2, 2));
    for (one, other) in plain.data.into_iter().zip(encoded.data) {
        let other: Vec<f32> = other.embedding.into();
        assert_eq!(one.embedding, other);
    }
    assert!(plain.usage.total_tokens > 0);
}

pub async fn lists_models(service: &Service) {
    let models = service.client.models().list().await.expect("models").data;
    let name = format!("{}:latest", service.model);
    assert!(models.iter().any(|model| model.id == name), "{models:?}");
    let model = service
        .client
        .models()
        .retrieve(&service.model)
        .await
        .expect("a model");
    assert_eq!(model.id, service.model);
    let (status, error) = refused(service.client.models().retrieve("unknown").await);
    assert_eq!(
        (status, error.code.as_deref()),
        (404, Some("model_not_found"))
    );
}
