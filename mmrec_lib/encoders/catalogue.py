"""Which encoders there are: name, class, and what a reader wants to know before choosing one."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Entry:
    """One row of :func:`mmrec_lib.encoders.available`.

    ``module`` is below ``mmrec_lib.encoders``; ``options`` are given to the class; ``dim`` is that of the defaults
    (``None``: it depends on the data); ``download_mb`` is what is fetched at first use, 0 when nothing is (weights of
    ordinary packages come with the installation); ``licence`` is that of the weights, ``"-"`` where there are none.
    """

    module: str
    cls: str
    modality: str
    dim: int | None
    about: str
    options: dict = field(default_factory=dict)
    download_mb: int = 0
    licence: str = "-"
    offline: bool = True
    needs_fit: bool = False


def _learns(module, cls, modality, dim, about, **options) -> Entry:
    return Entry(module, cls, modality, dim, about, options, needs_fit=True)


def _plain(module, cls, modality, dim, about, **options) -> Entry:
    return Entry(module, cls, modality, dim, about, options)


def _hub(module, cls, modality, dim, mb, licence, about, **options) -> Entry:
    return Entry(module, cls, modality, dim, about, options, mb, licence, offline=False)


_TEXT, _IMAGE, _AUDIO = "text.transformer", "image.pretrained", "audio.pretrained"

ENTRIES: dict[str, Entry] = {
    # -- text
    "bow": _learns("text.counts", "BagOfWords", "text", 2000, "counts of the most frequent words"),
    "tfidf": _learns("text.counts", "TfIdf", "text", 256, "words weighted by rarity, reduced by SVD"),
    "word2vec": _learns("text.word_vectors", "Word2Vec", "text", 100, "mean of word vectors learned from the texts"),
    "glove": Entry(
        "text.word_vectors", "GloVe", "text", None, "mean of word vectors read from a file", licence="the file's"
    ),
    "lstm": _learns("text.lstm", "LSTMEncoder", "text", 128, "recurrent network trained on the texts"),
    "minilm": Entry(
        "text.transformer", "MiniLM", "text", 384, "all-MiniLM-L6-v2, English sentences", licence="Apache-2.0"
    ),
    "lora": Entry(
        "finetuning",
        "LoRAText",
        "text",
        384,
        "MiniLM with low-rank adapters that learn from your texts",
        licence="Apache-2.0",
        needs_fit=True,
    ),
    "multilingual-minilm": _hub(
        _TEXT,
        "TransformerText",
        "text",
        384,
        471,
        "Apache-2.0",
        "sentences in 50 languages",
        model="sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
        pooling="mean",
    ),
    "bert": _hub(
        _TEXT,
        "TransformerText",
        "text",
        768,
        440,
        "Apache-2.0",
        "BERT base, English, mean of its tokens",
        model="google-bert/bert-base-uncased",
        pooling="mean",
    ),
    "bert-chinese": _hub(
        _TEXT,
        "TransformerText",
        "text",
        768,
        412,
        "Apache-2.0",
        "BERT base, Chinese",
        model="google-bert/bert-base-chinese",
        pooling="mean",
    ),
    "gpt2": _hub(
        _TEXT,
        "TransformerText",
        "text",
        768,
        548,
        "MIT",
        "GPT-2, the last token's state",
        model="openai-community/gpt2",
        pooling="last",
    ),
    # -- pictures
    "colour-histogram": _plain("image.classic", "ColourHistogram", "image", 216, "shares of 6 x 6 x 6 colours"),
    "hog": _plain("image.classic", "HOG", "image", 1764, "histograms of oriented gradients"),
    "sift": _learns("image.classic", "SIFTWords", "image", 256, "bag of visual words over SIFT key points"),
    "cnn": _learns("image.cnn", "SmallCNN", "image", 128, "small convolutional network trained on the pictures"),
    "efficientnet-lite0": Entry(
        _IMAGE, "EfficientNetLite0", "image", 1280, "EfficientNet-Lite0, ImageNet weights", licence="Apache-2.0"
    ),
    "resnet50": _hub(
        _IMAGE, "TorchvisionImage", "image", 2048, 98, "BSD-3-Clause", "ResNet-50, ImageNet", model="resnet50"
    ),
    "vgg16": _hub(_IMAGE, "TorchvisionImage", "image", 4096, 528, "BSD-3-Clause", "VGG-16, ImageNet", model="vgg16"),
    "inception-v3": _hub(
        _IMAGE, "TorchvisionImage", "image", 2048, 104, "BSD-3-Clause", "Inception v3, ImageNet", model="inception_v3"
    ),
    "vit-b16": _hub(
        _IMAGE, "TorchvisionImage", "image", 768, 330, "BSD-3-Clause", "ViT-B/16, ImageNet", model="vit_b_16"
    ),
    "vit": _hub(
        _IMAGE,
        "TransformerImage",
        "image",
        768,
        346,
        "Apache-2.0",
        "ViT base, ImageNet-21k",
        model="google/vit-base-patch16-224-in21k",
    ),
    "clip": _hub(
        _IMAGE,
        "TransformerImage",
        "image",
        512,
        605,
        "MIT",
        "CLIP ViT-B/32, trained on pictures with sentences",
        model="openai/clip-vit-base-patch32",
    ),
    "siglip": _hub(
        _IMAGE,
        "TransformerImage",
        "image",
        768,
        813,
        "Apache-2.0",
        "SigLIP base, trained on pictures with sentences",
        model="google/siglip-base-patch16-224",
    ),
    # the text halves of the same models, in the same space as their pictures
    "clip-text": _hub(
        _TEXT,
        "JointText",
        "text",
        512,
        605,
        "MIT",
        "CLIP's text half, in the space of `clip`",
        model="openai/clip-vit-base-patch32",
    ),
    "siglip-text": _hub(
        _TEXT,
        "JointText",
        "text",
        768,
        813,
        "Apache-2.0",
        "SigLIP's text half, in the space of `siglip`",
        model="google/siglip-base-patch16-224",
    ),
    # -- sound
    "log-mel": _plain("audio.classic", "LogMel", "audio", 128, "mean and deviation of 64 log-mel bands"),
    "mfcc": _plain("audio.classic", "MFCC", "audio", 80, "statistics of 20 cepstral coefficients and their changes"),
    "chroma": _plain("audio.classic", "Chroma", "audio", 24, "mean and deviation of the 12 pitch classes"),
    "tempo": _plain("audio.classic", "Tempo", "audio", 4, "tempo and how strongly there is one"),
    "audio-cnn": _learns("audio.networks", "AudioCNN", "audio", 128, "convolutions over the log-mel picture"),
    "audio-gru": _learns("audio.networks", "AudioGRU", "audio", 128, "recurrent network over log-mel frames"),
    "ast": _hub(
        _AUDIO,
        "TransformerAudio",
        "audio",
        768,
        346,
        "BSD-3-Clause",
        "audio spectrogram transformer, AudioSet",
        model="MIT/ast-finetuned-audioset-10-10-0.4593",
    ),
    "wav2vec2": _hub(
        _AUDIO,
        "TransformerAudio",
        "audio",
        768,
        378,
        "Apache-2.0",
        "wav2vec 2.0 base, speech",
        model="facebook/wav2vec2-base",
    ),
    "clap": _hub(
        _AUDIO,
        "TransformerAudio",
        "audio",
        512,
        615,
        "Apache-2.0",
        "CLAP, trained on sounds with sentences",
        model="laion/clap-htsat-unfused",
    ),
    "clap-text": _hub(
        _TEXT,
        "JointText",
        "text",
        512,
        615,
        "Apache-2.0",
        "CLAP's text half, in the space of `clap`",
        model="laion/clap-htsat-unfused",
    ),
    # -- video
    "frames": _plain("video", "FramePooling", "video", None, "an image encoder's vectors, pooled over frames"),
    "cnn3d": _learns("video", "SmallCNN3D", "video", 128, "small 3D convolutional network trained on the films"),
    "videomae": _hub(
        "video",
        "TransformerVideo",
        "video",
        768,
        377,
        "CC-BY-NC-4.0",
        "VideoMAE base, Kinetics-400",
        model="MCG-NJU/videomae-base",
    ),
    # -- place and time
    "cyclic-time": _plain("place", "CyclicTime", "time", 8, "hour, weekday, day of month and year on circles"),
    "geohash": _learns("place", "Geohash", "place", 32, "embedding of the cells that a place lies in"),
    "trajectory": _learns("place", "Trajectory", "place", 64, "recurrent network over sequences of places"),
    # -- metadata
    "numbers": _learns("metadata", "Numbers", "metadata", None, "numeric columns on one scale"),
    "categories": _learns("metadata", "Categories", "metadata", None, "categorical columns as numbers"),
    "metadata": _learns("metadata", "Metadata", "metadata", None, "all columns of the table together"),
    # -- users
    "history-mean": _plain("users", "HistoryMean", "user", None, "mean of what the user chose, the newest first"),
    "history-attention": _learns(
        "users", "HistoryAttention", "user", None, "weighted mean of what the user chose; the weights are learned"
    ),
    "user-text": _plain("users", "UserText", "user", None, "mean of a text encoder over what the user wrote"),
    "demographics": _learns("users", "Demographics", "user", None, "age, sex, occupation and the like"),
}
